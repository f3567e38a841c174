//! The admin API.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use penstock_config::fleet::{DeploymentInsight, OpenRequest, Recent, ServiceInsight, Stage};
use penstock_control::api::{Api, Bounds, Hooks, router};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Harness, chat, config};

pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// What is wrong, if this is a problem with that status.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(
            (self.status, &*self.content_type),
            (status, "application/problem+json")
        );
        let json = self.json();
        assert_eq!(json["status"], status);
        json["detail"].as_str().expect("a text").to_owned()
    }
}

pub(crate) struct Scene {
    pub(crate) harness: Harness,
    api: Api,
    ready: Arc<AtomicBool>,
}

impl Scene {
    async fn start() -> Self {
        Self::of(&chat("quick", "scaling = { min = 1, max = 3 }")).await
    }

    /// With these services.
    pub(crate) async fn of(services: &str) -> Self {
        Self::before(Harness::start(services).await).await
    }

    /// Of a control that runs.
    pub(crate) async fn before(harness: Harness) -> Self {
        Self::within(harness, Bounds::default()).await
    }

    /// With bounds that a test can reach.
    pub(crate) async fn within(harness: Harness, bounds: Bounds) -> Self {
        let ready = Arc::new(AtomicBool::new(true));
        let is_ready = Arc::clone(&ready);
        let hooks = Hooks {
            metrics: Arc::new(|take: &mut dyn FnMut(String) -> bool| {
                take("penstock_up ".to_owned()) && take("1\n".to_owned())
            }),
            insight: Arc::new(|service, max| Box::pin(insight(service, max))),
            doors: Arc::new(Vec::new),
            not_ready: Arc::new(move || {
                (!is_ready.load(Ordering::Relaxed)).then(|| "shutting down".to_owned())
            }),
            reload: Arc::new(|_| {
                Box::pin(async { Err("penstock.toml:3: unknown key".to_owned()) })
            }),
        };
        let router = router(Arc::clone(&harness.control), hooks);
        let mut config = (*config(Path::new("/"), &chat("true", ""))).clone();
        config.admin.hosts = vec!["gpu.example.org".to_owned()];
        let api = Api::start(&config, bounds, router);
        let api = api.await.expect("a free port");
        Self {
            harness,
            api,
            ready,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "Host: localhost\r\n")
            .await
    }

    /// Asks with a body.
    pub(crate) async fn ask_with(&self, method_and_path: &str, body: &str) -> Answer {
        let headers = format!("Host: localhost\r\nContent-Length: {}\r\n", body.len());
        self.send(method_and_path, &headers, body).await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.api.address()
    }

    pub(crate) async fn ask(&self, method_and_path: &str, headers: &str) -> Answer {
        self.send(method_and_path, headers, "").await
    }

    async fn send(&self, method_and_path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.api.address())
            .await
            .expect("it listens");
        let request =
            format!("{method_and_path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n{body}");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let header = |name: &str| {
            let line = head
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with(name));
            line.and_then(|line| line.split_once(": "))
                .map(|(_, value)| value.to_owned())
        };
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            content_type: header("content-type").unwrap_or_default(),
            body: match header("transfer-encoding") {
                Some(_) => unchunked(body),
                None => body.to_owned(),
            },
        }
    }
}

/// The text of a chunked body.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(size, 16).expect("a hexadecimal number");
        if size == 0 {
            return text;
        }
        text += &rest[..size];
        body = &rest[size + 2..];
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served_as_text() {
    let scene = Scene::start().await;
    assert_eq!(scene.get("/healthz").await.body, "ok\n");
    assert_eq!(scene.get("/readyz").await.body, "ready\n");
    scene.ready.store(false, Ordering::Relaxed);
    assert_eq!(scene.get("/readyz").await.problem(503), "shutting down");
    assert_eq!(scene.get("/healthz").await.status, 200);
    let metrics = scene.get("/metrics").await;
    assert_eq!(metrics.body, "penstock_up 1\n");
    assert!(
        metrics
            .content_type
            .starts_with("text/plain; version=0.0.4")
    );
}

#[tokio::test]
async fn the_status_shows_services_workers_and_reasons() {
    let mut scene = Scene::start().await;
    let workers = scene.harness.until_ready(1).await;
    let generation = scene.harness.generation();
    scene
        .harness
        .report(generation, 2, &[(&workers[0], 3)])
        .await;
    scene.harness.control.status().await.expect("control lives");
    let status = scene.get("/api/v1/status").await.json();
    let deployment = &status["services"][0]["deployments"][0];
    assert_eq!(status["services"][0]["name"], "chat");
    assert_eq!(status["gateway_generation"], generation);
    assert_eq!(deployment["phase"], "warm");
    assert_eq!(deployment["desired"], 1);
    assert_eq!(deployment["in_flight"], 3);
    assert_eq!(deployment["workers"][0]["state"], "ready");
    assert_eq!(deployment["workers"][0]["in_flight"], 3);
    assert!(deployment["reason_text"].is_string());
}

#[tokio::test]
async fn one_service_comes_with_its_last_journal_entries() {
    let mut scene = Scene::start().await;
    scene.harness.until_ready(1).await;
    let service = scene.get("/api/v1/services/chat").await.json();
    assert_eq!(service["name"], "chat");
    let kinds: Vec<_> = service["journal"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert!(kinds.contains(&&Value::from("worker_ready")), "{kinds:?}");
    let missing = scene.get("/api/v1/services/nobody").await;
    let problem = missing.problem(404);
    assert_eq!(problem, "there is no service nobody; there are: chat");
}

#[tokio::test]
async fn the_journal_can_be_narrowed_down() {
    let mut scene = Scene::start().await;
    scene.harness.until_ready(1).await;
    let one = scene
        .get("/api/v1/journal?service=chat&deployment=stable&limit=1")
        .await
        .json();
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let none = scene.get("/api/v1/journal?service=other").await.json();
    assert_eq!(none.as_array().map(Vec::len), Some(0));
    scene.get("/api/v1/journal?limit=many").await.problem(400);
    scene.get("/api/v1/journal?unknown=1").await.problem(400);
}

#[tokio::test]
async fn a_reload_that_fails_says_what_is_wrong() {
    let scene = Scene::start().await;
    let answer = scene
        .ask(
            "POST /api/v1/reload",
            "Host: 127.0.0.1\r\nContent-Length: 0\r\n",
        )
        .await;
    assert_eq!(answer.problem(422), "penstock.toml:3: unknown key");
}

#[tokio::test]
async fn unknown_pages_and_methods_are_problems() {
    let scene = Scene::start().await;
    assert_eq!(scene.get("/nothing").await.problem(404), "no such page");
    scene.get("/api/v1/reload").await.problem(405);
}

#[tokio::test]
async fn web_pages_are_kept_away() {
    let scene = Scene::start().await;
    scene
        .ask("GET /api/v1/status", "Host: evil.example\r\n")
        .await
        .problem(403);
    let origin = "Host: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n";
    scene.ask("GET /api/v1/status", origin).await.problem(403);
    scene.ask("POST /api/v1/reload", origin).await.problem(403);
    let weights = "/api/v1/services/chat/weights";
    let pause = "POST /api/v1/services/chat/pause".to_owned();
    for change in [format!("PUT {weights}"), format!("DELETE {weights}"), pause] {
        scene.ask(&change, origin).await.problem(403);
    }
}

/// Asked for so many requests, the gateway of these tests does not answer.
pub(crate) const SILENT: usize = 7;

/// What the gateway of these tests tells: one worker took 40 ms each time, one request is open.
async fn insight(service: String, max: usize) -> ServiceInsight {
    assert_eq!(service, "chat");
    if max == SILENT {
        std::future::pending::<()>().await;
    }
    let mut recent = Recent {
        over: Duration::from_secs(40),
        ended: 80,
        failed: 2,
        left: 1,
        ..Recent::default()
    };
    (0..20).for_each(|_| recent.whole.record(Duration::from_millis(40)));
    let request = OpenRequest {
        id: "id-1".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/chat".to_owned(),
        client: Ipv4Addr::LOCALHOST.into(),
        deployment: "stable".try_into().expect("a name"),
        worker: Some(3),
        age: Duration::from_secs(7),
        stage: Stage::FirstByte,
        in_stage: Duration::from_secs(6),
    };
    ServiceInsight {
        deployments: vec![DeploymentInsight {
            deployment: "stable".try_into().expect("a name"),
            recent,
            workers: Vec::new(),
        }],
        oldest: vec![request; max.min(1)],
        open: 1,
    }
}

#[tokio::test]
async fn a_service_comes_with_what_its_requests_do() {
    let scene = Scene::start().await;
    let service = scene.get("/api/v1/services/chat").await.json();
    let recent = &service["deployments"][0]["recent"];
    assert_eq!(recent["requests_per_second"], 2.0);
    assert_eq!(
        (&recent["errors"], &recent["clients_left"]),
        (&2.into(), &1.into())
    );
    let median = recent["whole"]["p50"].as_f64().expect("a number");
    assert!((0.04..0.046).contains(&median), "{median}");
    assert!(recent["first_byte"].is_null());
    assert_eq!(service["requests"]["oldest"][0]["stage"], "first_byte");
    // The status of all services does not ask the gateway for each.
    let all = scene.get("/api/v1/status").await.json();
    assert!(all["services"][0]["deployments"][0]["recent"].is_null());

    let requests = scene
        .get("/api/v1/services/chat/requests?limit=0")
        .await
        .json();
    assert_eq!(requests, serde_json::json!({ "open": 1, "oldest": [] }));
    let requests = scene.get("/api/v1/services/chat/requests").await.json();
    let oldest = &requests["oldest"][0];
    assert_eq!(
        (&oldest["id"], &oldest["worker"]),
        (&"id-1".into(), &3.into())
    );
    scene
        .get("/api/v1/services/nobody/requests")
        .await
        .problem(404);
    scene
        .get("/api/v1/services/chat/requests?limit=-1")
        .await
        .problem(400);
}

#[tokio::test]
async fn a_configured_name_is_answered_and_its_own_pages_are_taken() {
    let scene = Scene::start().await;
    let own = "Host: gpu.example.org\r\nOrigin: http://gpu.example.org\r\n";
    assert_eq!(scene.ask("GET /api/v1/status", own).await.status, 200);
}

#[tokio::test]
async fn when_control_breaks_down_that_is_told_and_health_goes_on() {
    let scene = Scene::start().await;
    scene.harness.control.break_down().await;
    // Whatever asks it gets no answer any more.
    let detail = scene.get("/api/v1/status").await.problem(503);
    let failure = scene.harness.until_failed().await;
    assert!(
        failure.contains("control has ended (a panic: asked to)"),
        "{failure}"
    );
    assert_eq!(scene.get("/readyz").await.problem(503), failure);
    assert_eq!(scene.get("/api/v1/status").await.problem(503), failure);
    assert_eq!(scene.get("/healthz").await.status, 200);
    assert!(detail.starts_with("control has "), "{detail}");
}

#[tokio::test]
async fn after_a_shutdown_the_api_says_so() {
    let scene = Scene::start().await;
    scene.harness.control.shutdown().await;
    assert_eq!(
        scene.get("/api/v1/status").await.problem(503),
        "control has been shut down"
    );
}
