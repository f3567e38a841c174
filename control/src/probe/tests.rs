//! Probes against real servers and commands.

mod servers;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use penstock_config::{ProbeKind, ProcessCommand, ProcessSpec, Protocol, Source};
use tokio::net::TcpListener;
use tonic_health::ServingStatus;

use self::servers::{says, serve, serve_grpc};
use super::*;
use crate::driver::{process::Identity, testing};

const LIMIT: Duration = Duration::from_secs(30);

async fn asked(target: &Target, probe: &Probe) -> Result<(), String> {
    ask(target, probe).await.map_err(|failure| failure.text)
}

#[tokio::test]
async fn an_http_probe_asks_with_the_given_path_and_headers() {
    let address = serve(Protocol::Http1, |request| {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        let as_wanted = request.uri() == "/health?deep=1"
            && header("x-key") == Some("secret")
            && header("host") == Some("worker.internal");
        if as_wanted { 204 } else { 400 }
    })
    .await;
    let headers = [("X-Key", "secret"), ("Host", "worker.internal")];
    let probe = get("/health?deep=1", &headers);
    assert_eq!(once(address, probe).await, Ok(()));
}

#[tokio::test]
async fn an_http_probe_passes_from_200_to_399() {
    for (status, passes) in [
        (200, true),
        (302, true),
        (399, true),
        (400, false),
        (503, false),
    ] {
        let address = serve(Protocol::Http1, move |_| status).await;
        let expected = if passes {
            Ok(())
        } else {
            Err(format!("HTTP status {status}"))
        };
        assert_eq!(once(address, get("/", &[])).await, expected);
    }
}

#[tokio::test]
async fn an_http_probe_of_an_h2_worker_speaks_h2() {
    let address = serve(Protocol::H2, |request| {
        if request.uri().path() == "/health" {
            200
        } else {
            404
        }
    })
    .await;
    let mut worker = worker(Path::new("/"));
    Arc::get_mut(&mut worker.spec).unwrap().protocol = Protocol::H2;
    assert_eq!(once_of(&worker, address, get("/health", &[])).await, Ok(()));
}

#[tokio::test]
async fn a_tcp_probe_passes_when_the_connection_opens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(once(address, ProbeKind::Tcp).await, Ok(()));
    drop(listener);
    let reason = once(address, ProbeKind::Tcp).await.unwrap_err();
    assert_eq!(
        reason,
        format!("connecting to {address}: Connection refused (os error 111)")
    );
}

#[tokio::test]
async fn by_default_a_worker_that_answers_503_is_still_loading_until_it_was_ready_once() {
    let status = Arc::new(AtomicU16::new(503));
    let answered = Arc::clone(&status);
    let address = serve(Protocol::Http1, move |request| {
        assert_eq!(request.uri(), "/");
        answered.load(Ordering::Relaxed)
    })
    .await;
    let target = Target::new(&worker(Path::new("/")), address, None);
    let ask = async || asked(&target, &probe(ProbeKind::Loaded)).await;
    let loading = Err("HTTP status 503 to GET /: it is still loading".to_owned());
    assert_eq!(ask().await, loading);
    status.store(404, Ordering::Relaxed);
    assert_eq!(ask().await, Ok(()));
    status.store(503, Ordering::Relaxed);
    assert_eq!(ask().await, Ok(()), "now it only has too much to do");
}

#[tokio::test]
async fn by_default_whoever_answers_something_or_nothing_is_ready_and_who_hangs_up_is_not() {
    for status in [200, 302, 400, 404, 426, 500] {
        let address = serve(Protocol::Http1, move |_| status).await;
        assert_eq!(once(address, ProbeKind::Loaded).await, Ok(()), "{status}");
    }
    let other = says(Some(b"SSH-2.0-OpenSSH_9.2\r\n")).await;
    assert_eq!(once(other, ProbeKind::Loaded).await, Ok(()));
    let silent = says(None).await;
    assert_eq!(once(silent, ProbeKind::Loaded).await, Ok(()));
    let hangs_up = says(Some(b"")).await;
    let reason = once(hangs_up, ProbeKind::Loaded).await.unwrap_err();
    assert!(reason.starts_with("GET /: "), "{reason}");
    let reason = once(port_7(), ProbeKind::Loaded).await.unwrap_err();
    assert!(reason.contains("Connection refused"), "{reason}");
}

#[tokio::test]
async fn a_probe_without_an_answer_ends_with_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target::new(&worker(Path::new("/")), address, None);
    let probe = Probe {
        timeout: Duration::from_millis(50),
        ..probe(get("/", &[]))
    };
    assert_eq!(
        asked(&target, &probe).await,
        Err("no answer within 50ms".to_owned())
    );
}

#[tokio::test]
async fn an_exec_probe_gets_the_workers_port_environment_and_directory() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo \"{port} $PORT $MODEL $(pwd)\" > seen";
    assert_eq!(exec(folder.path(), script).await, Ok(()));
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    let path = folder.path().canonicalize().unwrap();
    assert_eq!(seen, format!("7 7 m-7 {}\n", path.display()));
}

#[tokio::test]
async fn an_exec_probe_fails_with_the_way_its_command_ended() {
    let folder = tempfile::tempdir().unwrap();
    let failed = |text: &str| Err(text.to_owned());
    assert_eq!(exec(folder.path(), "exit 3").await, failed("exit status 3"));
    assert_eq!(
        exec(folder.path(), "kill -9 $$").await,
        failed("killed by SIGKILL")
    );
    let command = ProbeKind::Exec(vec!["./check".to_owned()]);
    let reason = once_of(&worker(folder.path()), port_7(), command)
        .await
        .unwrap_err();
    assert!(
        reason.ends_with("check: No such file or directory (os error 2)"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_exec_probe_that_takes_too_long_is_killed_with_all_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::new(&worker(folder.path()), port_7(), None);
    let script = "trap '' TERM; sleep 1000 & echo $! > pid.new; mv pid.new pid; wait";
    let probe = Probe {
        timeout: Duration::from_millis(200),
        ..probe(shell(script))
    };
    assert_eq!(
        asked(&target, &probe).await,
        Err("no answer within 200ms".to_owned())
    );
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let process = Identity::of(pid.trim().parse().unwrap()).and_then(Identity::open);
    if let Some(process) = process {
        let process = process.watch().unwrap();
        timeout(LIMIT, process.ended()).await.unwrap();
    }
}

#[tokio::test]
async fn a_grpc_probe_passes_only_when_the_worker_says_serving() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("model", ServingStatus::Serving)
        .await;
    reporter
        .set_service_status("loading", ServingStatus::NotServing)
        .await;
    let address = serve_grpc(tonic::transport::Server::builder().add_service(service)).await;
    let asked = async |service: &str| once(address, ProbeKind::Grpc(service.to_owned())).await;
    assert_eq!(asked("").await, Ok(()));
    assert_eq!(asked("model").await, Ok(()));
    assert_eq!(
        asked("loading").await.unwrap_err(),
        "the worker says NOT_SERVING"
    );
    let reason = asked("other").await.unwrap_err();
    assert_eq!(reason, "the worker does not know the service \"other\"");
}

#[tokio::test]
async fn a_grpc_worker_without_the_health_service_is_a_clear_failure() {
    let empty = tonic::service::Routes::default();
    let address = serve_grpc(tonic::transport::Server::builder().add_routes(empty)).await;
    let reason = once(address, ProbeKind::Grpc(String::new()))
        .await
        .unwrap_err();
    assert_eq!(reason, "the worker does not offer grpc.health.v1.Health");
}

#[tokio::test]
async fn a_worker_becomes_ready_when_it_answers_and_says_why_it_did_not_before() {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let status = Arc::new(AtomicU16::new(503));
    let answered = Arc::clone(&status);
    let address = serve(Protocol::Http1, move |_| {
        asked.send(()).unwrap();
        answered.load(Ordering::Relaxed)
    })
    .await;
    let probes = Probes {
        startup: None,
        ready: Some(probe(get("/", &[]))),
        live: None,
    };
    let (events, mut received) = mpsc::unbounded_channel();
    let worker = worker(Path::new("/"));
    let guard = watch(&worker, address, None, &probes, events);
    let id = &worker.id;
    let mut next = async || timeout(LIMIT, received.recv()).await.unwrap();
    let loading = ProbeFailure {
        text: "HTTP status 503".into(),
        wrong_port: false,
    };
    assert_eq!(
        next().await,
        Some(ProbeEvent::Says(id.clone(), Some(loading)))
    );
    // That the same comes again is not said again.
    for _ in 0..3 {
        timeout(LIMIT, asks.recv()).await.unwrap();
    }
    status.store(200, Ordering::Relaxed);
    assert_eq!(next().await, Some(ProbeEvent::Says(id.clone(), None)));
    assert_eq!(next().await, Some(ProbeEvent::Ready(id.clone())));
    drop(guard);
    assert_eq!(
        timeout(LIMIT, received.recv()).await.unwrap(),
        None,
        "nobody asks any more"
    );
}

#[tokio::test]
async fn a_worker_that_stops_answering_fails_its_liveness_probe() {
    let probes = Probes {
        startup: None,
        ready: None,
        live: Some(Probe {
            period: Duration::from_millis(20),
            ..probe(get("/", &[]))
        }),
    };
    let address = serve(Protocol::Http1, |_| 500).await;
    let (events, mut received) = mpsc::unbounded_channel();
    let worker = worker(Path::new("/"));
    let _guard = watch(&worker, address, None, &probes, events);
    let id = worker.id.clone();
    assert_eq!(received.recv().await, Some(ProbeEvent::Ready(id.clone())));
    let failed = ProbeEvent::LivenessFailed(id, "HTTP status 500".to_owned());
    assert_eq!(timeout(LIMIT, received.recv()).await.unwrap(), Some(failed));
}

async fn once(address: SocketAddr, kind: ProbeKind) -> Result<(), String> {
    once_of(&worker(Path::new("/")), address, kind).await
}

async fn once_of(worker: &NewWorker, address: SocketAddr, kind: ProbeKind) -> Result<(), String> {
    asked(&Target::new(worker, address, None), &probe(kind)).await
}

async fn exec(folder: &Path, script: &str) -> Result<(), String> {
    once_of(&worker(folder), port_7(), shell(script)).await
}

fn port_7() -> SocketAddr {
    ([127, 0, 0, 1], 7).into()
}

fn shell(script: &str) -> ProbeKind {
    ProbeKind::Exec(["sh", "-c", script].map(str::to_owned).to_vec())
}

fn get(path: &str, headers: &[(&str, &str)]) -> ProbeKind {
    let headers = headers
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()));
    ProbeKind::Http {
        path: path.to_owned(),
        headers: headers.collect(),
    }
}

fn probe(kind: ProbeKind) -> Probe {
    Probe {
        kind,
        initial_delay: Duration::ZERO,
        timeout: LIMIT,
        period: LIMIT,
        failures: 3,
    }
}

fn worker(folder: &Path) -> NewWorker {
    let spec = ProcessSpec {
        command: ProcessCommand::Shell("true".to_owned()),
        directory: folder.to_owned(),
        env: BTreeMap::from([("MODEL".to_owned(), "m-{port}".to_owned())]),
        inherit_env: vec!["PATH".to_owned()],
        gpus: 0.into(),
        numa: false,
        stop_grace: LIMIT,
        allow_foreign_listener: false,
    };
    testing::worker(0, Source::Process(spec))
}
