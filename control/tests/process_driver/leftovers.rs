//! What workers start and leave behind.

use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Bench, lives, supervisor, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_grandchild_in_a_session_of_its_own_ends_with_the_stop",
            stopped,
        ),
        trial(
            "a_grandchild_in_a_session_of_its_own_ends_with_an_exit",
            exited,
        ),
        trial("a_grandchild_without_the_marker_ends_too", unmarked),
        trial(
            "an_exit_is_told_before_the_leftovers_have_ended",
            told_at_once,
        ),
        trial(
            "what_a_killed_supervisor_leaves_behind_is_ended",
            killed_supervisor,
        ),
        trial("a_hundred_processes_that_breed_are_ended", breeding),
    ]
}

/// Starts what `inner` says as an orphan in a session of its own that ignores SIGTERM, and writes
/// its number to `pid`.
fn daemon(inner: &str) -> String {
    format!(
        "(trap '' TERM; setsid {inner} sh -c 'trap \"\" TERM; echo $$ > pid; \
         while :; do sleep 1; done' >/dev/null 2>&1 & ) ; \
         while ! [ -s pid ]; do sleep 0.01; done; "
    )
}

async fn stopped() {
    let bench = Bench::new();
    let mut spec = bench.spec(&(daemon("") + "exec sleep 1000"));
    spec.stop_grace = Duration::from_millis(100);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    let orphan = bench.pid("pid").await;
    bench.stop(&worker).await;
    assert!(!lives(orphan));
    bench.assert_nothing_left();
}

async fn exited() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&(daemon("") + "exit 7"));
    spec.stop_grace = Duration::from_millis(100);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    assert_eq!(bench.exit().await, "exit status 7");
    let orphan = bench.pid("pid").await;
    bench.stop(&worker).await;
    assert!(!lives(orphan));
    bench.assert_nothing_left();
}

async fn unmarked() {
    let bench = Bench::new();
    let mut spec = bench.spec(&(daemon("env -i PATH=\"$PATH\"") + "exec sleep 1000"));
    spec.stop_grace = Duration::from_millis(100);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    let orphan = bench.pid("pid").await;
    assert!(
        bench
            .left()
            .iter()
            .all(|left| !left.starts_with(&orphan.to_string()))
    );
    bench.stop(&worker).await;
    assert!(!lives(orphan));
}

async fn told_at_once() {
    let mut bench = Bench::new();
    let mut spec = bench.spec(&(daemon("") + "echo gone >&2; exit 7"));
    spec.stop_grace = Duration::from_secs(5);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    assert_eq!(bench.exit().await, "exit status 7: gone");
    let orphan = bench.pid("pid").await;
    assert!(lives(orphan), "it has five seconds to end by itself");
    bench.stop(&worker).await;
    assert!(!lives(orphan));
    bench.assert_nothing_left();
}

async fn killed_supervisor() {
    let mut bench = Bench::new();
    let worker = bench.shell(&(daemon("env -i PATH=\"$PATH\"") + "exec sleep 1000"));
    let started = bench.start(&worker).await;
    let orphan = bench.pid("pid").await;
    let supervisor = supervisor(&started);
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    let reason = "its supervisor ended unexpectedly (killed by SIGKILL)";
    assert_eq!(bench.exit().await, reason);
    bench.stop(&worker).await;
    assert!(!lives(orphan));
    bench.assert_nothing_left();
}

async fn breeding() {
    let bench = Bench::new();
    // Each lives for a moment and is followed by the next, in a new session every time.
    let script = "cat > breed.sh <<'X'\ntrap '' TERM\nsleep 0.05\nexec setsid sh -c 'sh breed.sh & sh breed.sh'\nX\n\
                  ulimit -u 4000; i=0; while [ $i -lt 4 ]; do sh ./once.sh & i=$((i+1)); done; \
                  echo > ready; exec sleep 1000";
    std::fs::write(
        bench.path("once.sh"),
        "trap '' TERM\nwhile :; do setsid sh -c 'sleep 0.2' & sleep 0.01; done",
    )
    .unwrap();
    let mut spec = bench.spec(script);
    spec.stop_grace = Duration::from_millis(300);
    let worker = bench.worker("w0", 0, spec);
    bench.start(&worker).await;
    bench.written("ready").await;
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}
