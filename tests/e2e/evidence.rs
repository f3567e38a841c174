//! Whose word counts: what one client alone, or one that chose the deployment itself, sees of a worker
//! ejects it not and takes no rollout back.

use std::time::Duration;

use http::{Method, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{
    Task,
    client::{Client, empty, full},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

/// Clients are told apart by what the proxy in front says.
const BY_PROXY: &str = "gateway.trusted_proxies = [\"127.0.0.0/8\"]\n";

const ALICE: &str = "198.51.100.1";
const BOB: &str = "198.51.100.2";

async fn ask(client: &Client, who: &str, path: &str) -> u16 {
    let headers = [("x-forwarded-for", who)];
    let exchange = client.send_with(Method::GET, path, &headers, empty());
    exchange.await.whole().await.status.as_u16()
}

/// One that does everything well but `/bad`.
async fn with_a_bad_path() -> FakeWorker {
    let worker = FakeWorker::start().await;
    worker.on("/bad", Behaviour::Answer(500, "cannot be done"));
    worker
}

async fn ejections(penstock: &Penstock) -> f64 {
    let metrics = penstock.metrics().await;
    metrics.sum("penstock_ejections_total", &[])
}

fn two(one: &str, other: &str) -> String {
    format!(
        r#"
        {BY_PROXY}
        [services.chat]
        balance = "round-robin"
        ejection = {{ failures = 3, first = "10m", longest = "10m" }}
        retries = {{ attempts = 0 }}
        [services.chat.deployments.main]
        static = {{ addresses = ["{one}", "{other}"] }}
        "#
    )
}

#[tokio::test]
async fn a_worker_that_several_clients_use_is_not_ejected_by_the_word_of_one() {
    let (one, other) = (with_a_bad_path().await, with_a_bad_path().await);
    let config = two(&one.address.to_string(), &other.address.to_string());
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    for who in [ALICE, BOB, ALICE, BOB] {
        for _ in 0..2 {
            assert_eq!(ask(&client, who, "/").await, 200);
        }
    }
    for _ in 0..40 {
        assert_eq!(ask(&client, BOB, "/bad").await, 500);
    }
    assert_eq!(ejections(&penstock).await, 0.0);
    // Somebody else says the same.
    for _ in 0..2 {
        assert_eq!(ask(&client, ALICE, "/bad").await, 500);
    }
    assert_eq!(ejections(&penstock).await, 1.0, "one stays in");
}

#[tokio::test]
async fn a_method_that_a_worker_does_not_have_ejects_nobody() {
    let (one, other) = (FakeWorker::start().await, FakeWorker::start().await);
    for worker in [&one, &other] {
        worker.on("/", Behaviour::Answer(501, "Unsupported method"));
    }
    let config = two(&one.address.to_string(), &other.address.to_string());
    let penstock = Penstock::start(&config).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    for _ in 0..40 {
        let method = Method::from_bytes(b"BREW").expect("a method");
        let answer = client.send(method, "/", empty()).await.whole().await;
        assert_eq!(answer.status, 501);
    }
    assert_eq!(ejections(&penstock).await, 0.0);
}

/// A worker that refuses every upload by its head alone, and closes.
async fn refuses_early() -> (String, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let accepting = Task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            // A probe says nothing.
            if !matches!(stream.read(&mut head).await, Ok(read) if read > 0) {
                continue;
            }
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nmuch";
            drop(stream.write_all(answer).await);
        }
    });
    (address, accepting)
}

#[tokio::test]
async fn workers_that_refuse_uploads_early_are_not_blamed() {
    let ((one, _one), (other, _other)) = (refuses_early().await, refuses_early().await);
    let penstock = Penstock::start(&two(&one, &other)).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let body = vec![b'x'; 4 << 20];
    for _ in 0..20 {
        let request = client.request(Method::POST, "/", full(body.clone()));
        // Whether the refusal arrives before the reset of the connection is up to the kernel.
        if let Ok(exchange) = client.try_send(request).await {
            let status = exchange.status();
            assert!(status == 413 || status == 502, "{status}");
        }
    }
    assert_eq!(ejections(&penstock).await, 0.0);
}

fn with_rollout(stable: &FakeWorker, canary: &FakeWorker) -> String {
    format!(
        r#"
        {BY_PROXY}
        [services.chat]
        ejection = {{ failures = 0 }}
        retries = {{ attempts = 0 }}
        [services.chat.deployments.stable]
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        static = {{ addresses = ["{}"] }}
        rollout = {{ steps = [50, 100], interval = "1s", min_requests = 20 }}
        "#,
        stable.address, canary.address
    )
}

/// Requests of one client after another until it is dropped.
fn traffic(client: Client, who: &'static str, path: &'static str) -> Task {
    Task::spawn(async move {
        loop {
            ask(&client, who, path).await;
        }
    })
}

async fn until_rollout(penstock: &Penstock, ends: &[&str]) -> String {
    let admin = penstock.admin();
    eventually("the rollout ends", async || {
        let weights = admin.get("/api/v1/services/chat/weights").await.json();
        let state = weights["deployments"][0]["rollout"]["state"]
            .as_str()?
            .to_owned();
        ends.contains(&&*state).then_some(state)
    })
    .await
}

const ENDS: &[&str] = &["done", "rolled_back"];

#[tokio::test]
async fn requests_at_a_deployments_own_host_take_no_rollout_back() {
    let (stable, canary) = (with_a_bad_path().await, with_a_bad_path().await);
    let penstock = Penstock::start(&with_rollout(&stable, &canary)).await;
    let _bad = traffic(penstock.client("canary--chat"), BOB, "/bad");
    let _good = traffic(penstock.client("chat"), ALICE, "/");
    assert_eq!(until_rollout(&penstock, ENDS).await, "done");
    assert!(canary.heads().iter().any(|head| head.path == "/bad"));
}

#[tokio::test]
async fn one_client_alone_takes_no_rollout_back_but_two_do() {
    let (stable, canary) = (FakeWorker::start().await, with_a_bad_path().await);
    let penstock = Penstock::start(&with_rollout(&stable, &canary)).await;
    let good = traffic(penstock.client("chat"), ALICE, "/");
    let _bad = traffic(penstock.client("chat"), BOB, "/bad");
    assert_eq!(until_rollout(&penstock, ENDS).await, "done");
    assert!(canary.heads().iter().any(|head| head.path == "/bad"));
    drop(good);
    penstock.command(&["rollout", "chat", "--restart"]).await;
    let _also_bad = traffic(penstock.client("chat"), ALICE, "/bad");
    assert_eq!(until_rollout(&penstock, &ENDS[1..]).await, "rolled_back");
    eventually("the log has it as an error", async || {
        let log = penstock.log();
        let is_error = |line: &str| line.contains("ERROR") && line.contains("taken back");
        log.lines().any(is_error).then_some(())
    })
    .await;
}

/// Answers `/slow` late.
async fn with_a_slow_path() -> FakeWorker {
    let worker = FakeWorker::start().await;
    worker.on(
        "/slow",
        Behaviour::custom(|_| async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Response::new(full("at last"))
        }),
    );
    worker
}

#[tokio::test]
async fn one_client_alone_takes_no_rollout_back_by_its_slow_requests_but_two_do() {
    let (stable, canary) = (FakeWorker::start().await, with_a_slow_path().await);
    // Long enough for as many requests of siblings as their percentile needs.
    let config = with_rollout(&stable, &canary).replace(
        "interval = \"1s\"",
        "interval = \"3s\", max_p95_ratio = 2.0",
    );
    let penstock = Penstock::start(&config).await;
    let several = |who, path| [(); 4].map(|()| traffic(penstock.client("chat"), who, path));
    let good = several(ALICE, "/");
    let _slow = several(BOB, "/slow");
    assert_eq!(until_rollout(&penstock, ENDS).await, "done");
    assert!(canary.heads().iter().any(|head| head.path == "/slow"));
    drop(good);
    penstock.command(&["rollout", "chat", "--restart"]).await;
    let _also_slow = several(ALICE, "/slow");
    assert_eq!(until_rollout(&penstock, &ENDS[1..]).await, "rolled_back");
}

#[tokio::test]
async fn the_hosts_of_deployments_can_be_closed_or_need_a_key() {
    let worker = FakeWorker::start().await;
    let config = |hosts: &str| {
        format!(
            r#"
            [services.chat]
            deployment_hosts = {hosts}
            [services.chat.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            worker.address
        )
    };
    let penstock = Penstock::start(&config("false")).await;
    penstock.until_known("chat", 1).await;
    let own = penstock.client("main--chat");
    assert_eq!(own.get("/").await.reason(), "no_route");
    assert_eq!(penstock.client("chat").get("/").await.status, 200);
    let shown = async || penstock.command(&["status", "chat"]).await;
    let text = shown().await;
    assert!(!text.contains("main--chat"), "{text}");
    // SHA-256 of "psk_host".
    let hash = "46d41518829a99c0a9e935ae65774862778ad0220c9f44a29dbaa4ece357925d";
    penstock
        .reload(&config(&format!("{{ sha256 = \"{hash}\" }}")))
        .await;
    eventually("the host needs a key", async || {
        (own.get("/").await.reason() == "unauthenticated").then_some(())
    })
    .await;
    let headers = [("authorization", "Bearer psk_host")];
    let exchange = own.send_with(Method::GET, "/", &headers, empty()).await;
    assert_eq!(exchange.whole().await.status, 200);
    assert_eq!(penstock.client("chat").get("/").await.status, 200);
    let text = shown().await;
    let bound =
        "own host: main--chat.local.localhost, which asks for the key of `deployment_hosts`";
    assert!(text.contains(bound), "{text}");
    penstock.reload(&config("true")).await;
    let text = shown().await;
    assert!(
        text.contains("own host: main--chat.local.localhost\n"),
        "{text}"
    );
}
