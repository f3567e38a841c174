//! Clients of the admin address that are slow, greedy or hostile.

use std::time::Duration;

use penstock_control::api::Bounds;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    api::{SILENT, Scene},
    harness::{Harness, chat},
};

async fn scene(bounds: Bounds) -> Scene {
    let harness = Harness::start(&chat("quick", "scaling = { min = 1, max = 3 }")).await;
    Scene::within(harness, bounds).await
}

/// A connection on which this much of a request is sent.
async fn slow(scene: &Scene, part: &str) -> TcpStream {
    let mut stream = TcpStream::connect(scene.address())
        .await
        .expect("it listens");
    let sent = stream.write_all(part.as_bytes()).await;
    sent.expect("it is taken");
    stream
}

/// All that is answered until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has ended as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("a text")
}

#[tokio::test]
async fn connections_held_by_slow_clients_make_room_oldest_first() {
    let scene = scene(Bounds {
        connections: 2,
        ..Bounds::default()
    })
    .await;
    let first = slow(&scene, "GET /api/v1/status HTTP/1.1\r\nHost: lo").await;
    let second = slow(
        &scene,
        "POST /api/v1/reload HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 9\r\n\r\n",
    )
    .await;
    assert_eq!(scene.get("/healthz").await.status, 200);
    assert_eq!(rest(first).await, "", "it had to go");
    assert_eq!(scene.get("/healthz").await.status, 200);
    assert_eq!(scene.get("/healthz").await.status, 200);
    drop(second);
}

#[tokio::test]
async fn a_head_and_a_body_must_come_in_time() {
    let soon = Duration::from_millis(50);
    let scene = scene(Bounds {
        head: soon,
        body: soon,
        ..Bounds::default()
    })
    .await;
    let head = slow(&scene, "GET /api/v1/status HTTP/1.1\r\nHost: lo").await;
    let answer = rest(head).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let body = slow(&scene, "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9\r\n\r\n1").await;
    let answer = rest(body).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("did not come within 50ms"), "{answer}");
}

#[tokio::test]
async fn a_body_must_not_be_long() {
    let scene = scene(Bounds {
        body_bytes: 100,
        ..Bounds::default()
    })
    .await;
    let body = format!("{{\"reason\": \"{}\"}}", "a".repeat(200));
    let answer = scene
        .ask_with("POST /api/v1/services/chat/pause", &body)
        .await;
    let detail = answer.problem(413);
    assert_eq!(detail, "the request's body is longer than 100 bytes");
}

#[tokio::test]
async fn only_so_many_requests_are_worked_on_and_health_checks_besides() {
    let scene = scene(Bounds {
        requests: 0,
        ..Bounds::default()
    })
    .await;
    let detail = scene.get("/api/v1/status").await.problem(503);
    assert_eq!(detail, "0 requests are being answered already");
    assert_eq!(scene.get("/healthz").await.status, 200);
    assert_eq!(scene.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let scene = scene(Bounds {
        answer: Duration::from_millis(50),
        ..Bounds::default()
    })
    .await;
    let page = format!("/api/v1/services/chat/requests?limit={SILENT}");
    let detail = scene.get(&page).await.problem(504);
    assert!(detail.starts_with("no answer within "), "{detail}");
}
