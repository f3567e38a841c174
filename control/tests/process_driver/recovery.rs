//! What a later run of control finds.

use std::time::Duration;

use libtest_mimic::Trial;
use penstock_config::fleet::WorkerId;
use penstock_control::driver::{
    Driver,
    process::logs::{self, LogFilter},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, ended, limited, lives, supervisor, trial, worker_pid};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_worker_outlives_control_and_is_adopted", adopted),
        trial(
            "a_worker_outlives_a_control_that_was_killed",
            killed_control,
        ),
        trial(
            "the_exit_of_an_adopted_worker_is_reported_with_its_reason",
            adopted_exit,
        ),
        trial(
            "an_adopted_worker_that_ignores_sigterm_is_killed",
            adopted_stubborn,
        ),
        trial("an_adopted_worker_tells_which_gpus_it_has", adopted_gpus),
        trial(
            "a_worker_that_ended_meanwhile_is_not_adopted",
            ended_meanwhile,
        ),
        trial(
            "a_worker_whose_supervisor_was_killed_is_ended_not_adopted",
            unsupervised,
        ),
        trial(
            "what_was_saved_before_the_machine_started_is_not_believed",
            other_boot,
        ),
        trial("a_sweep_ends_unknown_workers_and_leaves_known_ones", sweep),
        trial(
            "a_sweep_leaves_workers_of_other_installations",
            other_installation,
        ),
    ]
}

async fn adopted() {
    let mut bench = Bench::new();
    let script = "while ! [ -e go ]; do sleep 0.01; done; echo still here; \
                  echo > gone; exec sleep 1000";
    let worker = bench.shell(script);
    let started = bench.start(&worker).await;
    bench.begin_again();
    // It writes while nobody is there, and does not die of it.
    std::fs::write(bench.path("go"), "").unwrap();
    bench.written("gone").await;
    let again = limited(bench.driver().adopt(&worker, &started.saved)).await;
    assert_eq!(again, Some(started));
    bench.stop(&worker).await;
    bench.assert_nothing_left();
    let filter = LogFilter {
        service: "chat".try_into().unwrap(),
        deployment: None,
        slot: Some(0),
    };
    let lines = logs::tail(&logs::files(&bench.logs(), &filter).unwrap(), 100).unwrap();
    assert!(
        lines
            .lines
            .iter()
            .any(|line| line.text.ends_with(" out still here")),
        "{lines:?}"
    );
}

/// First argument that makes this binary start a worker and wait to be killed; the second one is
/// the folder of the installation.
pub(crate) const CONTROL: &str = "control";

const KILLED_CONTROL_SCRIPT: &str = "echo $$ > pid; while ! [ -e go ]; do sleep 0.01; done; echo spoke; echo > gone; exec sleep 1000";

pub(crate) fn control() -> ! {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = std::env::args().nth(2).unwrap();
        let bench = Bench::at(folder.as_ref());
        let started = bench.start(&bench.shell(KILLED_CONTROL_SCRIPT)).await;
        std::fs::write(bench.path("saved"), started.saved + "\n").unwrap();
        std::future::pending().await
    })
}

async fn killed_control() {
    let bench = Bench::new();
    let worker = bench.shell(KILLED_CONTROL_SCRIPT);
    let mut control = tokio::process::Command::new(std::env::current_exe().unwrap())
        .arg(CONTROL)
        .arg(bench.path(""))
        .spawn()
        .unwrap();
    let saved = bench.written("saved").await;
    control.kill().await.unwrap();
    let pid = bench.pid("pid").await;
    std::fs::write(bench.path("go"), "").unwrap();
    bench.written("gone").await;
    let swept = limited(bench.driver().sweep(std::slice::from_ref(&worker.id))).await;
    assert_eq!(swept, []);
    limited(bench.driver().adopt(&worker, &saved))
        .await
        .unwrap();
    assert!(lives(pid));
    bench.stop(&worker).await;
    assert!(!lives(pid));
    bench.assert_nothing_left();
}

async fn adopted_exit() {
    let mut bench = Bench::new();
    let worker = bench.shell("while ! [ -e go ]; do sleep 0.01; done; echo broken >&2; exit 9");
    let started = bench.start(&worker).await;
    bench.begin_again();
    limited(bench.driver().adopt(&worker, &started.saved))
        .await
        .unwrap();
    std::fs::write(bench.path("go"), "").unwrap();
    assert_eq!(bench.exit().await, "exit status 9: broken");
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn adopted_stubborn() {
    let mut bench = Bench::new();
    let mut spec = bench.spec("trap '' TERM; echo $$ > pid; while :; do sleep 1; done");
    spec.stop_grace = Duration::from_millis(100);
    let worker = bench.worker("w0", 0, spec);
    let started = bench.start(&worker).await;
    let pid = bench.pid("pid").await;
    bench.begin_again();
    limited(bench.driver().adopt(&worker, &started.saved))
        .await
        .unwrap();
    bench.stop(&worker).await;
    assert!(!lives(pid));
    assert!(!lives(supervisor(&started)));
    bench.assert_nothing_left();
}

async fn adopted_gpus() {
    let mut bench = Bench::with_gpus(&["0", "1"]);
    let mut spec = bench.spec("exec sleep 1000");
    spec.gpus = 2.into();
    let worker = bench.worker("w0", 0, spec);
    let started = bench.start(&worker).await;
    bench.begin_again();
    let adopted = limited(bench.driver().adopt(&worker, &started.saved))
        .await
        .unwrap();
    assert_eq!(adopted.gpus, ["0", "1"]);
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn ended_meanwhile() {
    let mut bench = Bench::new();
    let worker = bench.shell(
        "(trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 1; done' & ); \
         while ! [ -e go ]; do sleep 0.01; done",
    );
    let started = bench.start(&worker).await;
    let orphan = bench.pid("pid").await;
    bench.begin_again();
    std::fs::write(bench.path("go"), "").unwrap();
    ended(worker_pid(&started.saved)).await;
    assert_eq!(
        limited(bench.driver().adopt(&worker, &started.saved)).await,
        None
    );
    assert!(!lives(orphan));
    bench.assert_nothing_left();
}

async fn unsupervised() {
    let mut bench = Bench::new();
    let worker = bench.shell("echo $$ > pid; exec sleep 1000");
    let started = bench.start(&worker).await;
    let pid = bench.pid("pid").await;
    bench.begin_again();
    let supervisor = supervisor(&started);
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    ended(supervisor).await;
    assert_eq!(
        limited(bench.driver().adopt(&worker, &started.saved)).await,
        None
    );
    assert!(!lives(pid));
    bench.assert_nothing_left();
}

async fn other_boot() {
    let mut bench = Bench::new();
    let worker = bench.shell("exec sleep 1000");
    let started = bench.start(&worker).await;
    bench.begin_again();
    let mut saved: serde_json::Value = serde_json::from_str(&started.saved).unwrap();
    saved["boot"] = "another".into();
    assert_eq!(
        limited(bench.driver().adopt(&worker, &saved.to_string())).await,
        None
    );
    bench.assert_nothing_left();
}

async fn sweep() {
    let mut bench = Bench::new();
    let known = bench.worker("known", 0, bench.spec("exec sleep 1000"));
    let mut spec = bench.spec("trap '' TERM; echo $$ > pid; sleep 1000");
    spec.stop_grace = Duration::from_millis(200);
    let unknown = bench.worker("unknown", 1, spec);
    let (kept, _) = (bench.start(&known).await, bench.start(&unknown).await);
    let pid = bench.pid("pid").await;
    bench.begin_again();
    let swept = limited(bench.driver().sweep(std::slice::from_ref(&known.id))).await;
    assert_eq!(swept, [WorkerId("unknown".into())]);
    assert!(!lives(pid));
    limited(bench.driver().adopt(&known, &kept.saved))
        .await
        .unwrap();
    bench.stop(&known).await;
    bench.assert_nothing_left();
}

async fn other_installation() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let worker = theirs.shell("exec sleep 1000");
    let started = theirs.start(&worker).await;
    assert_eq!(limited(ours.driver().sweep(&[])).await, []);
    assert!(lives(worker_pid(&started.saved)));
    theirs.stop(&worker).await;
    theirs.assert_nothing_left();
}
