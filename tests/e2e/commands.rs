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

#[tokio::test]
async fn check_counts_what_there_is_and_warns_of_a_pattern_that_matches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("penstock.toml");
    let config = format!("listeners = [{{ address = \"127.0.0.1:0\" }}]\n{NOBODY}");
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_penstock"));
        command.arg("check").arg(&file).output().unwrap()
    };
    let name = file.display();
    std::fs::write(&file, &config).unwrap();
    let output = check();
    let ok = format!("{name}: ok: 1 service, 1 deployment, 1 listener\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ok);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");

    std::fs::write(&file, format!("include = [\"services/*.toml\"]\n{config}")).unwrap();
    let output = check();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ok);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("warning: {name}:1: include[0] = \"services/*.toml\": matches no file\n")
    );
}
