//! What keeps the program from starting: it ends with one line that names the key and the place.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::support::{penstock::simulated, processes};

/// What the program says that cannot start with this configuration. It leaves no worker behind.
fn refusal(name: &str, config: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    fs::write(dir.path().join("penstock.toml"), config).unwrap();
    let mark = format!("{}-bad-start-{name}", std::process::id());
    let output = Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(["run", "penstock.toml"])
        .current_dir(&dir)
        .env(processes::MARK, &mark)
        // Nothing but the reason is to be seen.
        .env("RUST_LOG", "off")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "standard output is not for this");
    let left = processes::marked(&mark);
    processes::kill_marked(&mark);
    assert!(left.is_empty(), "processes left: {left:?}");
    said.replace(&dir.path().display().to_string(), "DIR")
}

fn service() -> String {
    let command = simulated("--load-time 0s");
    format!("[services.chat.deployments.main]\nprocess = {{ {command} }}\n")
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key_and_workers_are_not_left_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port();
    let why = format!(
        "cannot listen on {address}: another process listens there already; \
         `ss -ltnp 'sport = :{port}'` shows which\n"
    );
    let free = "127.0.0.1:0";
    for (key, listener, admin) in [
        ("listeners", &*address.to_string(), free),
        ("admin.address", free, &*address.to_string()),
    ] {
        let config = format!(
            "listeners = [{{ address = \"{listener}\" }}]\nadmin.address = \"{admin}\"\n\
             gpus.devices = []\n{}",
            service()
        );
        let said = refusal(&key.replace('.', "-"), &config);
        assert_eq!(said, format!("penstock: {key}: {why}"));
    }
}

#[test]
fn a_folder_that_is_missing_or_cannot_be_written_is_named_with_its_key() {
    // A folder below a file can be made by nobody, not even by root.
    for (name, settings, expected) in [
        (
            "state",
            "admin = { address = \"127.0.0.1:0\", state = \"missing/penstock.db\" }",
            "admin.state: DIR/missing/penstock.db: the folder DIR/missing does not exist",
        ),
        (
            "logs",
            "admin.address = \"127.0.0.1:0\"\nworker_logs.directory = \"file/logs\"",
            "worker_logs.directory: cannot write to DIR/file/logs: Not a directory (os error 20)",
        ),
        (
            "access",
            "admin.address = \"127.0.0.1:0\"\ngateway.access_log = { path = \"missing/access.log\" }",
            "gateway.access_log.path: cannot write DIR/missing/access.log: No such file or \
             directory (os error 2)",
        ),
    ] {
        let config = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]\ngpus.devices = []\n{settings}\n{}",
            service()
        );
        assert_eq!(refusal(name, &config), format!("penstock: {expected}\n"));
    }
}
