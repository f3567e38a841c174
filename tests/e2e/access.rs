//! Who may use a service: API keys and networks.

use std::process::Stdio;

use futures_util::future::join_all;
use http::Method;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, process::Command, sync::watch};

use crate::support::{
    client::{Client, Reply, empty},
    fake::FakeWorker,
    penstock::Penstock,
    soon,
};

const KEY: &str = "psk_the-key-of-the-app";
const OTHER: &str = "psk_the-key-of-another";

/// The service `chat`, whose key `app` has the hashes of these keys.
fn config(worker: &FakeWorker, keys: &[&str], more: &str) -> String {
    let hashes: Vec<String> = keys
        .iter()
        .map(|key| format!("\"{}\"", hash(key)))
        .collect();
    format!(
        r#"
        gateway.access_log = "json"
        [services.chat]
        {more}
        [services.chat.api_keys.app]
        sha256 = [{}]
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        hashes.join(", "),
        worker.address
    )
}

fn hash(key: &str) -> String {
    let hash = Sha256::digest(key);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn get(client: &Client, headers: &[(&str, &str)]) -> Reply {
    let exchange = client.send_with(Method::GET, "/", headers, empty());
    exchange.await.whole().await
}

#[tokio::test]
async fn only_a_valid_key_is_let_in() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&config(&worker, &[KEY], "")).await;
    let bearer = format!("Bearer {KEY}");
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        for headers in [[("authorization", &*bearer)], [("x-api-key", KEY)]] {
            assert_eq!(get(&client, &headers).await.text(), "ok");
        }
        let wrong = format!("Bearer {OTHER}");
        for headers in [
            &[][..],
            &[("authorization", &*wrong)],
            &[("authorization", KEY)],
            &[("x-api-key", OTHER)],
        ] {
            let reply = get(&client, headers).await;
            assert_eq!(
                (reply.status.as_u16(), reply.reason()),
                (401, "unauthenticated")
            );
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let http2 = client.h2();
    let told = http2.send_with(Method::POST, "/a.B/C", &grpc, empty());
    assert_eq!(told.await.whole().await.header("grpc-status"), "16");
    assert_eq!(worker.heads().len(), 4, "what is refused reaches no worker");

    let page = penstock.metrics().await;
    let refused = [
        ("service", "chat"),
        ("deployment", ""),
        ("reason", "unauthenticated"),
    ];
    assert_eq!(page.sum("penstock_gateway_answers_total", &refused), 9.0);
    let all = [("service", "chat")];
    assert_eq!(page.sum("penstock_requests_total", &all), 13.0);
}

#[tokio::test]
async fn a_key_is_seen_by_nobody_but_its_name_is() {
    let worker = FakeWorker::start().await;
    let mut penstock = Penstock::start(&config(&worker, &[KEY], "")).await;
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", &*bearer),
        ("x-api-key", KEY),
        ("accept", "text/x"),
    ];
    let client = penstock.client("chat");
    assert_eq!(get(&client, &headers).await.text(), "ok");
    assert_eq!(get(&client.h2(), &headers).await.text(), "ok");
    for head in worker.heads() {
        assert_eq!(head.header("accept"), "text/x");
        assert!(!format!("{:?}", head.headers).contains(KEY), "{head:?}");
    }
    for page in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/services/chat",
        "/api/v1/journal",
    ] {
        let reply = penstock.admin().get(page).await;
        assert_eq!(reply.status, 200, "{page}");
        assert!(!reply.text().contains(KEY), "{page}");
        assert!(!reply.text().contains(&hash(KEY)), "{page}");
    }
    penstock.stop().await;
    let log = penstock.log();
    assert!(log.contains(r#""api_key":"app""#), "{log}");
    assert!(!log.contains(KEY) && !log.contains(&hash(KEY)), "{log}");
}

#[tokio::test]
async fn a_key_is_passed_on_where_the_service_says_so() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&config(&worker, &[KEY], "pass_api_key = true")).await;
    assert_eq!(
        get(&penstock.client("chat"), &[("x-api-key", KEY)])
            .await
            .text(),
        "ok"
    );
    assert_eq!(worker.heads()[0].header("x-api-key"), KEY);
}

#[tokio::test]
async fn a_key_is_replaced_under_traffic_without_a_refusal() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&config(&worker, &[KEY], "")).await;
    let client = penstock.client("chat");
    let (key, current) = watch::channel(Some(KEY));
    let senders = (0..4).map(|_| {
        let (client, current) = (client.clone(), current.clone());
        tokio::spawn(async move {
            let mut sent = 0;
            while let Some(key) = { *current.borrow() } {
                let reply = get(&client, &[("x-api-key", key)]).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                sent += 1;
            }
            sent
        })
    });
    let senders: Vec<_> = senders.collect();
    penstock.reload(&config(&worker, &[KEY, OTHER], "")).await;
    until_served(&worker, 20).await;
    key.send_replace(Some(OTHER));
    until_served(&worker, 20).await;
    penstock.reload(&config(&worker, &[OTHER], "")).await;
    until_served(&worker, 20).await;
    key.send_replace(None);
    for sent in join_all(senders).await {
        assert!(sent.unwrap() > 0);
    }
    let refused = get(&client, &[("x-api-key", KEY)]).await;
    assert_eq!(refused.reason(), "unauthenticated");
}

/// Waits until the worker has got so many requests more.
async fn until_served(worker: &FakeWorker, more: usize) {
    let before = worker.seen().started;
    worker
        .until("more requests", |seen| seen.started >= before + more)
        .await;
}

#[tokio::test]
async fn a_new_key_comes_with_the_line_for_the_file() {
    let key = penstock_key(&[], "").await;
    let [key, line]: [&str; 2] = key.lines().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        penstock_key(&["--hash"], &format!("{key}\n")).await.trim(),
        line
    );
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&format!(
        "[services.chat.api_keys.app]\n{line}\n[services.chat.deployments.main]\n\
         static = {{ addresses = [\"{}\"] }}",
        worker.address
    ))
    .await;
    let client = penstock.client("chat");
    assert_eq!(get(&client, &[("x-api-key", key)]).await.text(), "ok");
    assert_eq!(get(&client, &[]).await.status, 401);
}

async fn penstock_key(args: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_penstock"))
        .arg("key")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Without `--hash` nobody reads it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = soon("the command ends", child.wait_with_output())
        .await
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn networks_are_those_of_the_client_and_nobody_can_pretend_another() {
    let worker = FakeWorker::start().await;
    let config = |gateway: &str| {
        format!(
            r#"
            {gateway}
            [services.chat]
            clients = {{ allow = ["10.0.0.0/8"], deny = ["10.6.6.0/24"] }}
            [services.chat.deployments.main]
            static = {{ addresses = ["{}"] }}
            "#,
            worker.address
        )
    };
    let penstock = Penstock::start(&config("")).await;
    let client = penstock.client("chat");
    let status = async |claim: &str| {
        let reply = get(&client, &[("x-forwarded-for", claim)]).await;
        match reply.status.as_u16() {
            403 => assert_eq!(reply.reason(), "forbidden"),
            status => assert_eq!(status, 200),
        }
        reply.status.as_u16()
    };
    assert_eq!(status("10.1.1.1").await, 403, "an untrusted peer's word");

    penstock
        .reload(&config(r#"gateway.trusted_proxies = ["127.0.0.0/8"]"#))
        .await;
    for (claim, told) in [
        ("10.1.1.1", 200),
        ("10.6.6.6", 403),
        ("203.0.113.9", 403),
        // What the client itself wrote stands before what the proxy added.
        ("10.1.1.1, 203.0.113.9", 403),
        ("10.1.1.1, 10.6.6.6", 403),
        ("203.0.113.9, 10.1.1.1", 200),
        ("10.1.1.1, 127.0.0.7", 200),
        ("unknown", 403),
    ] {
        assert_eq!(status(claim).await, told, "{claim}");
    }
}
