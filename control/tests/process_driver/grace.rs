//! How much time the processes of a worker have to end.

use std::{fs, time::Duration};

use libtest_mimic::Trial;
use penstock_control::driver::Driver;

use crate::support::{Bench, lives, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_server_behind_a_shell_is_asked_once_and_has_the_whole_grace",
            behind_a_shell,
        ),
        trial("a_left_server_has_the_whole_grace_too", left_behind),
        trial("a_server_that_was_left_is_asked_once", asked_after_the_exit),
        trial("who_is_in_a_hurry_waits_for_no_worker", hurry),
        trial(
            "what_is_stopped_after_that_ends_at_once_too",
            hurried_before,
        ),
    ]
}

/// A server that needs this many seconds to end after its first SIGTERM, and notes each of them.
fn server(bench: &Bench, seconds: u32) {
    let script = format!(
        "trap 'echo term >> terms; left={}' TERM; left=-1; echo $$ > server\n\
         while [ $left -ne 0 ]; do sleep 0.1; left=$((left - 1)); done; echo bye > bye\n",
        seconds * 10
    );
    fs::write(bench.path("server.sh"), script).unwrap();
}

async fn assert_ended_well(bench: &Bench, server: i32) {
    assert_eq!(bench.written("bye").await, "bye", "it was not killed");
    assert_eq!(fs::read_to_string(bench.path("terms")).unwrap(), "term\n");
    assert!(!lives(server));
    bench.assert_nothing_left();
}

async fn behind_a_shell() {
    let bench = Bench::new();
    server(&bench, 6);
    // The shell dies of its SIGTERM and leaves the server behind.
    let worker = bench.shell("echo before > before; sh ./server.sh; echo after > after");
    bench.start(&worker).await;
    let server = bench.pid("server").await;
    bench.stop(&worker).await;
    assert_ended_well(&bench, server).await;
}

async fn left_behind() {
    let mut bench = Bench::new();
    server(&bench, 6);
    let worker = bench.shell("sh ./server.sh & while ! [ -s server ]; do sleep 0.01; done; exit 3");
    bench.start(&worker).await;
    assert_eq!(bench.exit().await, "exit status 3");
    let server = bench.pid("server").await;
    bench.stop(&worker).await;
    assert_ended_well(&bench, server).await;
}

async fn asked_after_the_exit() {
    let mut bench = Bench::new();
    server(&bench, 1);
    let worker = bench.shell("sh ./server.sh & while ! [ -s server ]; do sleep 0.01; done; exit 3");
    bench.start(&worker).await;
    assert_eq!(bench.exit().await, "exit status 3");
    let server = bench.pid("server").await;
    // Asked by its supervisor already; the stop is no second time.
    bench.written("terms").await;
    bench.stop(&worker).await;
    assert_ended_well(&bench, server).await;
}

/// A worker that ends by nothing but SIGKILL, with hours to do so.
fn stubborn(bench: &Bench) -> penstock_control::driver::NewWorker {
    let inner = "setsid sh -c 'trap \"\" TERM; echo $$ > inner; while :; do sleep 1; done' &";
    let mut spec = bench.spec(&format!(
        "trap '' TERM; {inner} echo $$ > outer; while :; do sleep 1; done"
    ));
    spec.stop_grace = Duration::from_secs(36_000);
    bench.worker("w0", 0, spec)
}

async fn hurry() {
    let bench = Bench::new();
    let worker = stubborn(&bench);
    bench.start(&worker).await;
    let (inner, outer) = (bench.pid("inner").await, bench.pid("outer").await);
    let hurry = async {
        // Once it is being stopped.
        bench.logged("asked to stop").await;
        assert!(lives(inner) && lives(outer));
        bench.driver().hurry();
    };
    tokio::join!(bench.stop(&worker), hurry);
    assert!(!lives(inner) && !lives(outer));
    bench.assert_nothing_left();
}

async fn hurried_before() {
    let bench = Bench::new();
    let worker = stubborn(&bench);
    bench.start(&worker).await;
    let (inner, outer) = (bench.pid("inner").await, bench.pid("outer").await);
    bench.driver().hurry();
    assert!(lives(inner) && lives(outer), "nobody has asked it to end");
    bench.stop(&worker).await;
    assert!(!lives(inner) && !lives(outer));
    bench.assert_nothing_left();
}
