//! Starting, stopping, and what a worker is given.

use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt, time::Duration};

use libtest_mimic::Trial;
use penstock_config::ProcessCommand;
use penstock_control::driver::{
    Driver, StartError,
    process::logs::{self, LogFilter},
};

use crate::support::{Bench, eventually, lives, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_worker_gets_its_port_environment_and_directory", given),
        trial("no_two_workers_get_the_same_port", ports),
        trial("a_worker_that_obeys_is_only_asked_to_stop", obedient),
        trial(
            "a_worker_that_ignores_sigterm_is_killed_after_its_grace",
            stubborn,
        ),
        trial(
            "the_reason_of_an_exit_holds_status_and_last_error_line",
            exit_status,
        ),
        trial("the_reason_of_an_exit_names_the_signal", exit_signal),
        trial("a_program_that_is_not_there_is_a_clear_failure", not_there),
        trial("a_file_that_cannot_be_run_is_a_clear_failure", not_runnable),
        trial("a_log_that_cannot_be_written_is_a_clear_failure", no_log),
        trial(
            "stopping_during_the_start_leaves_nothing",
            stop_during_start,
        ),
        trial("stopping_what_is_not_there_returns", stop_unknown),
        trial("a_worker_sees_the_gpus_that_it_is_given", gpus),
        trial(
            "a_worker_without_gpus_sees_none_of_those_handed_out",
            no_gpus,
        ),
        trial("output_goes_to_a_log_that_is_rotated", log),
        trial("logs_can_be_followed_across_rotations", follow),
    ]
}

async fn given() {
    let bench = Bench::new();
    let script = "echo \"$PORT {port} $GREETING $(pwd)\" > given; exec sleep 1000";
    let mut spec = bench.spec(script);
    spec.env
        .insert("GREETING".to_owned(), "hello-{port}".to_owned());
    let worker = bench.worker("w0", 0, spec);
    let started = bench.start(&worker).await;
    let port = started.address.port();
    let folder = fs::canonicalize(bench.path("")).unwrap();
    let given = bench.written("given").await;
    assert_eq!(
        given,
        format!("{port} {port} hello-{port} {}", folder.display())
    );
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn ports() {
    let bench = Bench::new();
    let workers: Vec<_> = (0..10)
        .map(|slot| bench.worker(&format!("w{slot}"), slot, bench.spec("exec sleep 1000")))
        .collect();
    let mut ports = HashSet::new();
    for worker in &workers {
        ports.insert(bench.start(worker).await.address.port());
    }
    assert_eq!(ports.len(), workers.len());
    for worker in &workers {
        bench.stop(worker).await;
    }
    bench.assert_nothing_left();
}

async fn obedient() {
    let mut bench = Bench::new();
    let worker = bench.shell("trap 'echo bye > bye; exit 0' TERM; echo > ready; sleep 1000 & wait");
    bench.start(&worker).await;
    bench.written("ready").await;
    bench.stop(&worker).await;
    assert_eq!(bench.written("bye").await, "bye");
    assert!(bench.no_exit_was_reported());
    bench.assert_nothing_left();
}

async fn stubborn() {
    let bench = Bench::new();
    let mut spec = bench.spec("trap '' TERM; echo $$ > pid; while :; do sleep 1; done");
    spec.stop_grace = Duration::from_millis(200);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    let pid = bench.pid("pid").await;
    bench.stop(&worker).await;
    assert!(!lives(pid));
    bench.assert_nothing_left();
}

async fn exit_status() {
    let mut bench = Bench::new();
    let script = "echo loading >&2; printf 'model not found\\n\\n' >&2; echo out; exit 3";
    bench.start(&bench.shell(script)).await;
    assert_eq!(bench.exit().await, "exit status 3: model not found");
}

async fn exit_signal() {
    let mut bench = Bench::new();
    bench.start(&bench.shell("kill -SEGV $$")).await;
    assert_eq!(bench.exit().await, "killed by SIGSEGV");
}

async fn not_there() {
    let bench = Bench::new();
    let mut spec = bench.spec("");
    spec.command = ProcessCommand::Exec(vec!["./serve.sh".to_owned()]);
    let error = bench.refused(&bench.worker("w0", 0, spec)).await;
    let path = bench.path("./serve.sh");
    let reason = format!(
        "program {}: No such file or directory (os error 2)",
        path.display()
    );
    assert_eq!(error, StartError::Failed(reason));
}

async fn not_runnable() {
    let bench = Bench::new();
    let path = bench.path("serve.sh");
    fs::write(&path, "neither a script nor a binary").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = bench.spec("");
    spec.command = ProcessCommand::Exec(vec!["./serve.sh".to_owned()]);
    let error = bench.refused(&bench.worker("w0", 0, spec)).await;
    assert!(
        error
            .to_string()
            .ends_with("serve.sh: Exec format error (os error 8)"),
        "{error}"
    );
    bench.assert_nothing_left();
}

async fn no_log() {
    let bench = Bench::new();
    fs::write(bench.path("logs"), "a file where the folder should be").unwrap();
    let error = bench.refused(&bench.shell("exec sleep 1000")).await;
    assert!(error.to_string().starts_with("log "), "{error}");
    bench.assert_nothing_left();
}

async fn stop_during_start() {
    let bench = Bench::new();
    let worker = bench.shell("trap '' TERM; exec sleep 1000");
    let (started, ()) = tokio::join!(bench.driver().start(&worker), bench.stop(&worker));
    // Whichever was first: it is gone, and its port and name are free again.
    drop(started);
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn stop_unknown() {
    let bench = Bench::new();
    bench.stop(&bench.shell("true")).await;
}

async fn gpus() {
    let bench = Bench::with_gpus(&["0", "GPU-b", "2"]);
    let mut spec = bench.spec("echo \"$CUDA_VISIBLE_DEVICES\" > gpus; exec sleep 1000");
    spec.gpus = 2.into();
    let worker = bench.worker("w0", 0, spec);
    let started = bench.start(&worker).await;
    assert_eq!(started.gpus, ["0", "GPU-b"]);
    assert_eq!(bench.written("gpus").await, "0,GPU-b");
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn no_gpus() {
    let bench = Bench::with_gpus(&["0"]);
    let worker = bench.shell("echo \"<$CUDA_VISIBLE_DEVICES>\" > gpus; exec sleep 1000");
    bench.start(&worker).await;
    assert_eq!(bench.written("gpus").await, "<>");
    bench.stop(&worker).await;
}

fn filter() -> LogFilter {
    LogFilter {
        service: "chat".try_into().unwrap(),
        deployment: None,
        slot: None,
    }
}

async fn log() {
    let mut bench = Bench::new();
    let script = "i=0; while [ $i -lt 1000 ]; do echo \"line $i of the output\"; i=$((i+1)); done; \
                  echo problem >&2; exit 1";
    bench.start(&bench.shell(script)).await;
    assert_eq!(bench.exit().await, "exit status 1: problem");
    bench.stop(&bench.shell("")).await;
    let files = logs::files(&bench.logs(), &filter()).unwrap();
    let lines = logs::tail(&files, usize::MAX).unwrap().lines;
    let newest = lines.last().unwrap().text.splitn(3, ' ').skip(1);
    assert_eq!(
        newest.collect::<Vec<_>>(),
        ["note", "ended: exit status 1: problem"]
    );
    assert!(lines.iter().any(|line| line.text.ends_with(" err problem")));
    let output = lines
        .iter()
        .filter_map(|line| line.text.split_once(" out line "));
    let numbers = output.map(|(_, line)| line.split(' ').next().unwrap().parse::<u32>().unwrap());
    let numbers: Vec<u32> = numbers.collect();
    assert_eq!(numbers.last(), Some(&999));
    assert!(
        numbers.is_sorted_by(|one, next| one + 1 == *next),
        "goes on in rotated files"
    );
    assert!(*numbers.first().unwrap() > 0, "the oldest are dropped");
    let folder = fs::read_dir(bench.path("logs/chat")).unwrap();
    for file in folder.map(Result::unwrap) {
        assert!(file.metadata().unwrap().len() <= 10_000, "{file:?}");
    }
    assert_eq!(fs::read_dir(bench.path("logs/chat")).unwrap().count(), 3);
}

async fn follow() {
    let bench = Bench::new();
    let script = "i=0; while [ $i -lt 500 ]; do echo \"line $i of the output\"; i=$((i+1)); \
                  [ $((i % 50)) = 0 ] && sleep 0.1; done; exec sleep 1000";
    let worker = bench.shell(script);
    bench.start(&worker).await;
    let (mut follower, tail) = logs::Follower::new(bench.logs(), filter(), 1000).unwrap();
    let mut lines = tail.lines;
    let mut expected = 0;
    eventually(|| {
        for line in lines.iter().filter(|line| line.text.contains(" out ")) {
            let text = format!(" out line {expected} of the output");
            assert!(line.text.ends_with(&text), "{line}");
            expected += 1;
        }
        lines = follower.new_lines().unwrap();
        (expected == 500).then_some(())
    })
    .await;
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}
