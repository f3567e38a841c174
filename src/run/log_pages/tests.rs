//! The pages over real files and sockets.

use std::fs;

use penstock_config::fleet::{Coming, DeploymentFleet, Phase, ServiceFleet};
use penstock_control::api::{Api, Bounds};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::*;

const CONFIG: &str = r#"
    listeners = [{ address = "127.0.0.1:0" }]
    [services.chat.deployments.stable.process]
    command = ["true"]
"#;

struct Pages {
    dir: TempDir,
    followers: Arc<Semaphore>,
    api: Api,
}

impl Pages {
    /// A fleet that has the service `chat` with the deployment `stable`.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("penstock.toml");
        fs::write(&file, CONFIG).unwrap();
        let mut config = penstock_config::load(&file).unwrap();
        config.admin.address.set_port(0);
        let services = config.services.values().map(|spec| {
            let deployments = spec.deployments.values().map(|spec| DeploymentFleet {
                spec: Arc::clone(spec),
                weight: 1,
                phase: Phase::Cold,
                workers: Vec::new(),
                coming: Coming::default(),
            });
            Arc::new(ServiceFleet {
                spec: Arc::clone(spec),
                deployments: deployments.collect(),
            })
        });
        let fleet = FleetSnapshot {
            generation: 1,
            services: services.collect(),
        };
        let shared = Shared::new(&config.worker_logs, watch::channel(Arc::new(fleet)).1);
        let followers = Arc::clone(&shared.followers);
        let api = Api::start(&config, Bounds::default(), shared.router())
            .await
            .unwrap();
        Self {
            dir,
            followers,
            api,
        }
    }

    fn write(&self, service: &str, file: &str, lines: &str) {
        let folder = self.dir.path().join("penstock-logs").join(service);
        fs::create_dir_all(&folder).unwrap();
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join(file))
            .unwrap();
        io::Write::write_all(&mut file, lines.as_bytes()).unwrap();
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.api.address()).await.unwrap();
        let head = format!(
            "GET /api/v1/services/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Status and body of an answer that ends.
    async fn get(&self, path: &str) -> (u16, String) {
        let mut text = String::new();
        self.ask(path)
            .await
            .read_to_string(&mut text)
            .await
            .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn the_last_lines_of_the_wanted_workers_are_given() {
    let pages = Pages::start().await;
    assert_eq!(
        pages.get("chat/logs").await,
        (200, String::new()),
        "nothing was written yet"
    );
    pages.write("chat", "stable-0.log", "1 out a\n3 out b\n");
    pages.write("chat", "stable-1.log", "2 err c\n");
    pages.write("chat", "old-0.log", "0 out d\n");
    let all = "old#0 0 out d\nstable#0 1 out a\nstable#1 2 err c\nstable#0 3 out b\n";
    for (query, lines) in [
        ("", all),
        ("?lines=2", "stable#1 2 err c\nstable#0 3 out b\n"),
        ("?lines=0", ""),
        ("?worker=1", "stable#1 2 err c\n"),
        ("?deployment=old", "old#0 0 out d\n"),
        ("?deployment=stable&worker=0&lines=1", "stable#0 3 out b\n"),
    ] {
        assert_eq!(
            pages.get(&format!("chat/logs{query}")).await,
            (200, lines.to_owned()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_is_unknown_is_not_found_unless_its_logs_are_still_there() {
    let pages = Pages::start().await;
    pages.write("removed", "main-0.log", "1 out a\n");
    assert_eq!(
        pages.get("removed/logs").await,
        (200, "main#0 1 out a\n".to_owned())
    );
    for (path, status, detail) in [
        (
            "nobody/logs",
            404,
            "there is no service nobody; there are: chat",
        ),
        (
            "chat/logs?worker=99",
            404,
            "chat has no worker 99; no worker of it has written anything yet",
        ),
        (
            "removed/logs?worker=7",
            404,
            "removed has no worker 7; there are logs of main#0",
        ),
        ("NoName/logs", 404, "there is no service NoName"),
        ("..%2Fchat/logs", 404, "there is no service ../chat"),
        (
            "chat/logs?deployment=other",
            404,
            "chat has no deployment other; there are: stable",
        ),
        ("chat/logs?deployment=..%2Fx", 400, "deployment"),
        ("chat/logs?lines=10001", 400, "lines: at most 10000"),
        ("chat/logs?lines=many", 400, "lines"),
        ("chat/logs?line=1", 400, "unknown field `line`"),
    ] {
        let (found, body) = pages.get(path).await;
        assert_eq!(found, status, "{path}: {body}");
        assert!(body.contains(detail), "{path}: {body}");
    }
}

#[tokio::test]
async fn new_lines_come_until_the_client_is_gone() {
    let pages = Pages::start().await;
    pages.write("chat", "stable-0.log", "1 out a\n");
    let mut lines = BufReader::new(pages.ask("chat/logs?follow=true").await).lines();
    let mut next =
        async |wanted: &str| while lines.next_line().await.unwrap().unwrap() != wanted {};
    next("stable#0 1 out a").await;
    pages.write("chat", "stable-0.log", "2 out b\n");
    next("stable#0 2 out b").await;
    pages.write("chat", "stable-1.log", "3 out c\n");
    next("stable#1 3 out c").await;
    assert_eq!(pages.followers.available_permits(), FOLLOWERS_MAX - 1);
    drop(lines);
    let all = u32::try_from(FOLLOWERS_MAX).unwrap();
    let _all = pages.followers.acquire_many(all).await.unwrap();
    let (status, body) = pages.get("chat/logs?follow=true").await;
    assert_eq!(status, 429, "{body}");
}

#[tokio::test]
async fn many_long_lines_make_a_bounded_answer() {
    let pages = Pages::start().await;
    let lines: String = (0..2000)
        .map(|number| format!("{number:04} out {}\n", "x".repeat(10_000)))
        .collect();
    pages.write("chat", "stable-0.log", &lines);
    let (status, body) = pages.get("chat/logs?lines=10000").await;
    assert_eq!(status, 200);
    let first = body.lines().next().unwrap();
    assert_eq!(
        first,
        "-- older lines are left out: an answer has at most 8MiB of them --"
    );
    assert!(body.len() <= logs::BYTES_MAX + 100_000, "{}", body.len());
    assert!(
        body.lines()
            .last()
            .unwrap()
            .starts_with("stable#0 1999 out x")
    );
}
