//! Whose the port of a worker is.

use std::{fs, net::TcpListener, time::Duration};

use libtest_mimic::Trial;
use penstock_config::{Probe, ProbeKind, Probes};
use penstock_control::{
    core::ProbeEvent,
    driver::{NewWorker, StartedWorker},
    probe::{self, ProbeGuard},
};
use tokio::sync::mpsc;

use crate::support::{Bench, limited, trial};

/// First argument that makes this binary a server that listens on the address after it.
pub(crate) const LISTEN: &str = "listen";

pub(crate) fn listen() -> ! {
    let address = std::env::args().nth(2).unwrap();
    let listener = TcpListener::bind(address).unwrap();
    loop {
        drop(listener.accept());
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_stranger_at_the_port_does_not_pass_for_the_worker",
            stranger,
        ),
        trial("a_stranger_may_stand_in_where_that_is_allowed", allowed),
        trial("a_worker_at_another_port_is_found", elsewhere),
    ]
}

/// Runs a server at this address once there is a file `go`, below a shell.
fn server(address: &str) -> String {
    let program = std::env::current_exe().unwrap();
    format!(
        "while ! [ -e go ]; do sleep 0.01; done; {} {LISTEN} {address}; true",
        program.display()
    )
}

fn watch(worker: &NewWorker, started: &StartedWorker) -> (ProbeGuard, Events) {
    let ready = Probe {
        kind: ProbeKind::Tcp,
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(10),
        period: Duration::from_secs(10),
        failures: 3,
    };
    let probes = Probes {
        startup: None,
        ready: Some(ready),
        live: None,
    };
    let (events, received) = mpsc::unbounded_channel();
    let guard = probe::watch(worker, started.address, started.processes, &probes, events);
    (guard, received)
}

type Events = mpsc::UnboundedReceiver<ProbeEvent>;

/// Waits until its probe fails in these words.
async fn until_failure(events: &mut Events, words: &str) {
    loop {
        match limited(events.recv()).await.expect("it is probed") {
            ProbeEvent::Says(_, Some(failure)) if failure.text.contains(words) => return,
            ProbeEvent::Says(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until something became of it besides what its probe says.
async fn until_news(events: &mut Events) -> ProbeEvent {
    loop {
        match limited(events.recv()).await.expect("it is probed") {
            ProbeEvent::Says(..) => {}
            other => return other,
        }
    }
}

async fn stranger() {
    let bench = Bench::new();
    let worker = bench.shell(&server("127.0.0.1:$PORT"));
    let started = bench.start(&worker).await;
    let stranger = TcpListener::bind(started.address).unwrap();
    let (_guard, mut events) = watch(&worker, &started);
    let us = format!("is held by process {} (", std::process::id());
    until_failure(&mut events, &us).await;
    assert!(events.try_recv().is_err(), "it is not ready");
    assert!(
        stranger.set_nonblocking(true).is_ok() && stranger.accept().is_err(),
        "nobody has spoken to the stranger"
    );
    drop(stranger);
    fs::write(bench.path("go"), "").unwrap();
    let ready = ProbeEvent::Ready(worker.id.clone());
    assert_eq!(until_news(&mut events).await, ready);
    bench.stop(&worker).await;
    bench.assert_nothing_left();
}

async fn allowed() {
    let bench = Bench::new();
    let mut spec = bench.spec("exec sleep 1000");
    spec.allow_foreign_listener = true;
    let worker = bench.worker("w0", 0, spec);
    let started = bench.start(&worker).await;
    let _stand_in = TcpListener::bind(started.address).unwrap();
    let (_guard, mut events) = watch(&worker, &started);
    let ready = ProbeEvent::Ready(worker.id.clone());
    assert_eq!(until_news(&mut events).await, ready);
    bench.stop(&worker).await;
}

async fn elsewhere() {
    let bench = Bench::new();
    let worker = bench.shell(&server("127.0.0.1:0"));
    let started = bench.start(&worker).await;
    let (_guard, mut events) = watch(&worker, &started);
    until_failure(&mut events, "Connection refused").await;
    fs::write(bench.path("go"), "").unwrap();
    let words = format!("does not listen on {} but on 127.0.0.1:", started.address);
    until_failure(&mut events, &words).await;
    bench.stop(&worker).await;
}
