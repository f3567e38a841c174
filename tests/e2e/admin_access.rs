//! Who may ask the admin address, by tokens and by the Unix socket.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use http::{Method, StatusCode, header};

use crate::support::{
    client::{Body, empty, full},
    eventually,
    penstock::{NOBODY, Penstock},
};

struct Test {
    penstock: Penstock,
    /// The tokens by name, as `penstock token` made them.
    tokens: Vec<(&'static str, String)>,
}

impl Test {
    /// One with an operator, a viewer, and an operator of the service `team` alone.
    async fn start() -> Self {
        let mut tokens = Vec::new();
        let mut tables = String::new();
        for (name, options) in [
            ("ops", vec![]),
            ("look", vec!["--role", "viewer"]),
            ("team", vec!["--services", "team"]),
        ] {
            let (token, table) = new_token(name, &options).await;
            tokens.push((name, token));
            tables += &table;
        }
        let dir = tempfile::tempdir().unwrap();
        let penstock = Penstock::start_in(dir, &config(&tables)).await;
        Self { penstock, tokens }
    }

    fn token(&self, name: &str) -> &str {
        let found = self.tokens.iter().find(|(found, _)| *found == name);
        &found.unwrap().1
    }

    /// The status and the body of the answer to a request with this token.
    async fn ask(&self, token: Option<&str>, method: Method, path: &str) -> (StatusCode, String) {
        self.send(token, method, path, empty()).await
    }

    /// The same of a change with a body.
    async fn post(&self, name: &str, path: &str, body: &'static str) -> (StatusCode, String) {
        let token = self.token(name);
        self.send(Some(token), Method::POST, path, full(body)).await
    }

    async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Body,
    ) -> (StatusCode, String) {
        let admin = self.penstock.admin();
        let mut request = admin.request(method, path, body);
        if let Some(token) = token {
            let field = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, field);
        }
        let reply = admin.try_send(request).await.unwrap().whole().await;
        (
            reply.status,
            String::from_utf8_lossy(&reply.body).into_owned(),
        )
    }

    async fn status_of(&self, name: &str, method: Method, path: &str) -> u16 {
        let token = self.token(name).to_owned();
        self.ask(Some(&token), method, path).await.0.as_u16()
    }

    fn socket(&self) -> PathBuf {
        self.penstock.path().join("admin.sock")
    }
}

fn config(tables: &str) -> String {
    format!(
        r#"
        [admin]
        address = "127.0.0.1:0"
        socket = "admin.sock"
        {tables}
        {NOBODY}
        [services.team.deployments.main]
        static = {{ addresses = ["127.0.0.1:1"] }}
        "#
    )
}

/// What `penstock token` prints: the token, and the table for the file.
async fn new_token(name: &str, options: &[&str]) -> (String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_penstock"))
        .args(["token", name])
        .args(options)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (token, table) = text.split_once('\n').unwrap();
    (token.to_owned(), table.to_owned())
}

#[tokio::test]
async fn a_token_allows_what_its_role_and_its_services_say() {
    let test = Test::start().await;
    let pause = "/api/v1/services/team/pause";
    for path in ["/healthz", "/readyz"] {
        assert_eq!(test.ask(None, Method::GET, path).await.0, StatusCode::OK);
    }
    for token in [None, Some("wrong")] {
        for path in ["/metrics", "/api/v1/status", pause, "/nowhere"] {
            let (status, body) = test.ask(token, Method::GET, path).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(body.contains("PENSTOCK_TOKEN"), "{body}");
        }
    }
    for (name, method, path, expected) in [
        ("ops", Method::GET, "/metrics", 200),
        ("ops", Method::POST, pause, 200),
        ("ops", Method::DELETE, pause, 200),
        ("look", Method::GET, "/metrics", 200),
        ("look", Method::GET, pause, 200),
        ("look", Method::POST, pause, 403),
        ("look", Method::POST, "/api/v1/reload", 403),
        ("team", Method::POST, pause, 200),
        ("team", Method::POST, "/api/v1/services/nobody/pause", 403),
        ("team", Method::GET, "/api/v1/services/nobody/logs", 403),
        ("team", Method::GET, "/metrics", 403),
        ("team", Method::POST, "/api/v1/reload", 403),
        ("team", Method::GET, "/api/v1/journal", 403),
        ("team", Method::GET, "/api/v1/journal?service=nobody", 403),
        ("team", Method::GET, "/api/v1/journal?service=team", 200),
    ] {
        let status = test.status_of(name, method.clone(), path).await;
        assert_eq!(status, expected, "{name} {method} {path}");
    }
    // Whose token it is cannot be hidden by another form of the body.
    let forged = test.post("team", pause, r#"[60,"ann","forged"]"#).await;
    assert_eq!(forged.0, StatusCode::BAD_REQUEST, "{}", forged.1);
    let lines = test
        .post("team", pause, r#"{"reason":"one\nteam/main ready"}"#)
        .await;
    assert_eq!(lines.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", lines.1);
    let tried = r#"{"service":"team","path":"/"}"#;
    assert_eq!(
        test.post("team", "/api/v1/try", tried).await.0,
        StatusCode::OK
    );
    let tried = r#"{"service":"nobody","path":"/"}"#;
    assert_eq!(
        test.post("team", "/api/v1/try", tried).await.0,
        StatusCode::FORBIDDEN
    );
    let team = test.token("team").to_owned();
    let (_, status) = test.ask(Some(&team), Method::GET, "/api/v1/status").await;
    assert!(
        status.contains("\"team\"") && !status.contains("nobody"),
        "{status}"
    );
    let (_, who) = test.ask(Some(&team), Method::GET, "/api/v1/whoami").await;
    assert_eq!(
        who,
        r#"{"role":"operator","services":["team"],"token":"team"}"#
    );
    let ops = test.token("ops").to_owned();
    let (_, metrics) = test.ask(Some(&ops), Method::GET, "/metrics").await;
    for line in [
        "penstock_admin_refused_total{reason=\"token\"} 8",
        "penstock_admin_refused_total{reason=\"role\"} 2",
        "penstock_admin_refused_total{reason=\"scope\"} 7",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let log = test.penstock.log();
    assert!(log.contains("a change was asked for"), "{log}");
    for (_, token) in &test.tokens {
        assert!(!log.contains(token.as_str()), "a token is in the log");
    }
}

#[tokio::test]
async fn commands_use_a_token_and_a_removed_one_counts_no_more() {
    let test = Test::start().await;
    let refused = test.penstock.failing(&["pause", "team"]).await;
    assert!(refused.contains("--token-file"), "{refused}");
    let file = test.penstock.path().join("token");
    fs::write(&file, format!("{}\n", test.token("ops"))).unwrap();
    let with = ["--token-file", file.to_str().unwrap()];
    let by = ["pause", "team", "--by", "ann", "--reason", "audit"];
    test.penstock.command(&[&by[..], &with].concat()).await;
    let status = test
        .penstock
        .command(&[&["status"][..], &with].concat())
        .await;
    assert!(status.contains("ann (token ops)"), "{status}");
    fs::write(&file, "two words").unwrap();
    let wrong = test
        .penstock
        .failing(&[&["status"][..], &with].concat())
        .await;
    assert!(wrong.contains("the token file"), "{wrong}");

    let (ops, (_, table)) = (test.token("ops").to_owned(), new_token("new", &[]).await);
    test.penstock.write_config(&config(&table));
    eventually("the old token counts no more", async || {
        let (status, _) = test.ask(Some(&ops), Method::GET, "/api/v1/whoami").await;
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_may_open_the_socket_needs_no_token() {
    let mut test = Test::start().await;
    let socket = test.socket();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let admin = format!("unix:{}", socket.display());
    let ask = async |args: &[&str]| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_penstock"))
            .args(args)
            .args(["--admin", &admin])
            .output()
            .await
            .unwrap()
    };
    let paused = ask(&["pause", "nobody", "--by", "ann"]).await;
    assert!(paused.status.success(), "{paused:?}");
    let status = ask(&["status"]).await;
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("ann"),
        "{status:?}"
    );
    let log = test.penstock.log();
    assert!(log.contains("the admin socket, user "), "{log}");

    // What kill -9 leaves is replaced.
    test.penstock.signal(nix::sys::signal::Signal::SIGKILL);
    test.penstock.exit().await;
    assert!(socket.exists());
    let nobody = ask(&["status"]).await;
    let nobody = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.contains("connection refused"), "{nobody}");
    test.penstock.start_again().await;
    assert!(ask(&["status"]).await.status.success());
    test.penstock.stop().await;
    assert!(!socket.exists());
}
