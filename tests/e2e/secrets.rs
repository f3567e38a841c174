//! A secret comes in by every way there is, and comes out by none.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use http::Method;
use nix::sys::signal::Signal;

use crate::support::{
    client::empty,
    eventually,
    penstock::{Penstock, simulated},
};

/// Part of every secret of the test.
const CANARY: &str = "c4n4ry-0f-th3-t3st";

/// SHA-256 of `CANARY` with "-key" after it.
const KEY_HASH: &str = "6491377960fd7b460f3a9bd4cf57c5595b4f2ca0cb4629d60a5a5f20fe61b695";

fn config(canary: &str) -> String {
    let program = env!("CARGO_BIN_EXE_penstock");
    let command = format!(
        r#"command = ["/bin/sh", "-c", 'exec "$0" worker --load-time 0s', "{program}", "{canary}-argument"]"#
    );
    let shell = format!("shell = 'exit 1 # {canary}-shell'");
    format!(
        r#"
        [services.chat]
        api_keys.ci.sha256 = "{KEY_HASH}"
        [services.chat.deployments.main]
        process = {{ {command}, env = {{ TOKEN = "{canary}-env" }} }}
        probes.ready = {{ http = "/health", headers = {{ x-token = "{canary}-header" }} }}
        probes.live = {{ exec = ["true", "{canary}-exec"] }}
        scaling = {{ min = 1, max = 2 }}
        [services.broken.deployments.main]
        process = {{ {shell}, env = {{ TOKEN = "{canary}-env" }} }}
        scaling = {{ min = 1, max = 1 }}
        "#
    )
}

/// Everything that Penstock wrote into its folder but for what the test wrote there itself.
fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            files(&path, all);
        } else if name != "penstock.toml" && name != "draft.toml" {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn a_secret_that_comes_in_anywhere_comes_out_nowhere() {
    let mut penstock = Penstock::start(&config(CANARY)).await;
    penstock.until_ready("chat", 1).await;
    let client = penstock.client("chat");
    for header in [
        "authorization",
        "x-api-key",
        "cookie",
        "proxy-authorization",
    ] {
        let value = match header {
            "x-api-key" => format!("{CANARY}-key"),
            _ => format!("Bearer {CANARY}-key"),
        };
        let path = format!("/v1/models?token={CANARY}-query");
        let exchange = client
            .send_with(Method::GET, &path, &[(header, &value)], empty())
            .await;
        let _ = exchange.whole().await;
    }
    // The configuration changes, is refused, and changes again: each is told somewhere.
    penstock
        .reload(&config(CANARY).replace("max = 2", "max = 3"))
        .await;
    penstock.write_config(&config(CANARY).replace("-env\" }", "-env\", \"A=B\" = \"1\" }"));
    eventually("the refusal is told", async || {
        let status = penstock.admin().get("/api/v1/status").await;
        status.text().contains("A=B").then_some(())
    })
    .await;
    let mut outputs = Vec::new();
    for path in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/journal",
        "/api/v1/services/chat",
        "/api/v1/services/broken",
        "/api/v1/services/chat/decisions",
        "/api/v1/services/broken/decisions",
        "/api/v1/services/chat/logs",
        "/api/v1/services/broken/logs",
    ] {
        let answer = penstock.admin().get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        outputs.push((path.to_owned(), answer.body.to_vec()));
    }
    for args in [
        &["status"] as &[&str],
        &["status", "broken"],
        &["explain", "broken"],
    ] {
        let output = penstock.command(args).await;
        outputs.push((args.join(" "), output.into_bytes()));
    }
    let answer = penstock.client("broken").get("/").await;
    outputs.push(("an answer".to_owned(), answer.body.to_vec()));
    // As a crash leaves them, with what SQLite has not put in its place yet.
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    files(penstock.path(), &mut outputs);
    assert!(
        outputs
            .iter()
            .any(|(name, _)| name.ends_with("penstock.db"))
    );
    for (name, bytes) in &outputs {
        let found = bytes
            .windows(CANARY.len())
            .position(|window| window == CANARY.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(200)..(at + 60).min(bytes.len())];
            panic!("{name}: {}", String::from_utf8_lossy(around));
        }
    }
}

#[tokio::test]
async fn what_penstock_keeps_is_for_its_user_alone() {
    let command = simulated("--load-time 0s");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        "#
    ))
    .await;
    penstock.until_ready("chat", 1).await;
    for (name, mode) in [
        ("penstock.db", 0o600),
        ("penstock.db-wal", 0o600),
        ("penstock.db-shm", 0o600),
        ("penstock.db.lock", 0o600),
        ("penstock.db.key", 0o600),
        ("penstock-logs", 0o700),
        ("penstock-logs/chat", 0o700),
        ("penstock-logs/chat/main-0.log", 0o600),
    ] {
        let metadata = fs::metadata(penstock.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
}
