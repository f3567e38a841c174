//! The commands for people: `status`, `logs`, `check`.

use crate::support::{
    eventually,
    penstock::{NOBODY, Penstock, simulated},
};

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
async fn logs_of_what_is_not_there_are_a_clear_error() {
    let penstock = Penstock::start(
        r#"
        [services.chat.deployments.stable]
        process = { shell = "printf '\\033[31mred\\033[0m\\a\\n'; exec sleep 1000" }
        "#,
    )
    .await;
    let logs = eventually("the worker has written", async || {
        let logs = penstock.run(&["logs", "chat"]).await;
        let text = String::from_utf8(logs.stdout).unwrap();
        text.contains(" out ").then_some(text)
    })
    .await;
    assert!(logs.contains(" out red\n"), "{logs:?}");
    for (args, complaint) in [
        (
            vec!["logs", "chat", "--worker", "99"],
            "chat has no worker 99; there are logs of stable#0",
        ),
        (
            vec!["logs", "nope"],
            "there is no service nope; there are: chat",
        ),
        (
            vec!["logs", "nope", "--follow"],
            "there is no service nope; there are: chat",
        ),
        (
            vec!["logs", "chat", "--deployment", "stable", "--worker", "7"],
            "chat/stable has no worker 7; there are logs of stable#0",
        ),
    ] {
        let error = penstock.failing(&args).await;
        assert_eq!(error, format!("penstock: {complaint}\n"), "{args:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_warning_of_check() {
    let penstock = Penstock::start(NOBODY).await;
    let file = penstock.path().join("other.toml");
    let config = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        [services.chat.deployments]
        stable = { process = { command = ["vllmm", "serve"] } }
        good = { process = { command = ["sh"] } }
    "#;
    std::fs::write(&file, config).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(["check", "other.toml"])
        .current_dir(penstock.path())
        .env("PATH", "/bin")
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "warning: other.toml: services.chat.deployments.stable.process: workers cannot be started on \
         this machine now: program vllmm not found in PATH (/bin); name it with its path, or set PATH \
         in `env`\n"
    );
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

#[tokio::test]
async fn a_volume_that_is_not_there_is_a_warning_of_check() {
    let penstock = Penstock::start(NOBODY).await;
    let file = penstock.path().join("other.toml");
    let config = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        [services.chat.deployments]
        stable.container = { image = "x", volumes = ["/no/such/folder:/data", "named:/other"] }
        good.container = { image = "x", volumes = ["/:/all:ro"] }
    "#;
    std::fs::write(&file, config).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(["check", "other.toml"])
        .current_dir(penstock.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "warning: other.toml: services.chat.deployments.stable.container: workers cannot be started \
         on this machine now: volumes: /no/such/folder is not there\n"
    );
}

#[test]
fn what_new_prints_for_each_engine_passes_check() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_penstock"));
        let output = command.args(args).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for engine in [
        "vllm",
        "sglang",
        "tgi",
        "llama.cpp",
        "ollama",
        "triton",
        "comfyui",
    ] {
        for options in [&["new", engine] as &[&str], &["new", engine, "--container"]] {
            std::fs::write(dir.path().join("penstock.toml"), run(options)).unwrap();
            let checked = run(&["check", "penstock.toml"]);
            assert_eq!(
                checked,
                "penstock.toml: ok: 1 service, 1 deployment, 1 listener\n"
            );
        }
    }
}
