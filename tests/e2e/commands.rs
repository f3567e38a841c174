//! The commands for people: `status`, `logs`, `check`.

use crate::support::penstock::{NOBODY, Penstock, simulated};

#[tokio::test]
async fn status_and_logs_tell_about_a_running_service() {
    let command = simulated("--load-time 0s");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.stable]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        scaling = {{ min = 1, max = 2 }}
        [services.idle.deployments.main]
        process = {{ {command} }}
        scaling = {{ min = 0, max = 1 }}
        "#
    ))
    .await;
    penstock.until_ready("chat", 1).await;
    let status = penstock.command(&["status"]).await;
    for word in ["chat", "stable", "ready", "idle", "main"] {
        assert!(status.contains(word), "{word} is missing:\n{status}");
    }
    let logs = penstock.command(&["logs", "chat"]).await;
    assert!(logs.contains("listening on http://127.0.0.1:"), "{logs}");
}

#[tokio::test]
async fn health_pages_answer() {
    let penstock = Penstock::start(NOBODY).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(penstock.admin().get(path).await.status, 200, "{path}");
    }
}
