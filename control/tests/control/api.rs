//! The admin API.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use penstock_control::api::{Api, Hooks, router};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Harness, chat};

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
        let ready = Arc::new(AtomicBool::new(true));
        let is_ready = Arc::clone(&ready);
        let hooks = Hooks {
            metrics: Arc::new(|| "penstock_up 1\n".to_owned()),
            not_ready: Arc::new(move || {
                (!is_ready.load(Ordering::Relaxed)).then(|| "shutting down".to_owned())
            }),
            reload: Arc::new(|| Box::pin(async { Err("penstock.toml:3: unknown key".to_owned()) })),
        };
        let router = router(Arc::clone(&harness.control), hooks);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let api = Api::start(address, router).await.expect("a free port");
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

    async fn ask(&self, method_and_path: &str, headers: &str) -> Answer {
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
            body: body.to_owned(),
        }
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
    scene.ask("POST /api/v1/reload", origin).await.problem(403);
    let weights = "/api/v1/services/chat/weights";
    let pause = "POST /api/v1/services/chat/pause".to_owned();
    for change in [format!("PUT {weights}"), format!("DELETE {weights}"), pause] {
        scene.ask(&change, origin).await.problem(403);
    }
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
