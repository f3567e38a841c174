//! Scrapes of real servers.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// What is asked of a deployment with a rule on `queue`, and these further settings.
fn spec(more: &str) -> ScrapeSpec {
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
         [services.chat.deployments.stable]
         process.shell = \"true\"
         scaling.rules = [{{ type = \"target_tracking\", metric = \"worker:queue\", target = 1 }}]
         {more}"
    );
    let config = penstock_config::parse(&text, Path::new("test.toml")).unwrap();
    let spec = ScrapeSpec::of(&config.services["chat"].deployments["stable"]).unwrap();
    Arc::try_unwrap(spec).unwrap()
}

/// A server that hears every request's head, and answers each with these bytes on a connection of
/// its own; `None`: never.
async fn serve(answer: Option<Vec<u8>>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(respond(stream, answer.clone(), heads.clone()));
        }
    });
    (address, heard)
}

async fn respond(
    mut stream: TcpStream,
    answer: Option<Vec<u8>>,
    heads: mpsc::UnboundedSender<String>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = heads.send(String::from_utf8(head).unwrap());
    match answer {
        Some(answer) => {
            let _ = stream.write_all(&answer).await;
        }
        // Until the other side has had enough.
        None => while stream.read_u8().await.is_ok() {},
    }
}

fn ok(page: &str) -> Option<Vec<u8>> {
    let length = page.len();
    Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{page}").into_bytes())
}

#[tokio::test]
async fn the_page_is_asked_for_as_text_at_its_path() {
    let (address, mut heard) = serve(ok("queue{model=\"a\"} 3\nqueue{model=\"b\"} 4\n")).await;
    let samples = spec("metrics.path = \"/prometheus?all=1\"")
        .ask(address)
        .await;
    assert_eq!(samples.unwrap()[0].map(|sample| sample.value), Some(7.0));
    let head = heard.recv().await.unwrap();
    assert!(
        head.starts_with("GET /prometheus?all=1 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("accept: text/plain; version=0.0.4\r\n"),
        "{head}"
    );
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
}

#[tokio::test]
async fn what_is_no_whole_page_is_a_failure() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nqueue 1\n";
    let five_megabytes = "# just words\n".repeat(400_000);
    for (answer, complaint) in [
        (Some(moved.into()), "HTTP status 302"),
        (
            Some(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()),
            "HTTP status 404",
        ),
        (
            Some(cut.into()),
            "end of file before message length reached",
        ),
        (
            Some(b"220 smtp.example.org\r\n".to_vec()),
            "invalid HTTP version",
        ),
        (
            Some(Vec::new()),
            "connection closed before message completed",
        ),
        (ok(&five_megabytes), "longer than 4 MiB"),
        (ok("queue many\n"), "line 1 of the page makes no sense"),
    ] {
        let (address, mut heard) = serve(answer).await;
        let failure = spec("").ask(address).await.unwrap_err();
        assert!(failure.contains(complaint), "{complaint}: {failure}");
        heard.recv().await.unwrap();
        assert!(
            heard.try_recv().is_err(),
            "asked once, and followed nowhere"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let failure = spec("").ask(nobody).await.unwrap_err();
    assert!(failure.contains("Connection refused"), "{failure}");
}

#[tokio::test]
async fn a_page_that_hangs_ends_with_the_time_out() {
    let mut spec = spec("");
    spec.page.timeout = Duration::from_millis(50);
    let (address, _heard) = serve(None).await;
    let expected = "not all of the page came within 50ms";
    assert_eq!(spec.ask(address).await, Err(expected.to_owned()));
    // Also one that begins and does not go on.
    let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nqueue 1\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        stream
    });
    assert_eq!(spec.ask(address).await, Err(expected.to_owned()));
    drop(open.await.unwrap());
}

#[tokio::test]
async fn a_worker_is_asked_again_and_again_until_the_guard_is_gone() {
    let mut spec = spec("");
    spec.page.interval = Duration::from_millis(20);
    let (address, mut heard) = serve(ok("queue 1\n")).await;
    let (events, mut came) = mpsc::unbounded_channel();
    let id = WorkerId("w1".into());
    let guard = watch(id.clone(), address, Arc::new(spec), events);
    for _ in 0..5 {
        let event = timeout(LIMIT, came.recv()).await.unwrap().unwrap();
        assert_eq!(event.worker, id);
        assert!(event.result.is_ok(), "{event:?}");
        timeout(LIMIT, heard.recv()).await.unwrap().unwrap();
    }
    drop(guard);
    // The channel closes when the task is gone.
    while timeout(LIMIT, came.recv()).await.unwrap().is_some() {}
}

#[test]
fn workers_are_asked_at_once_and_then_at_times_of_their_own() {
    let spec = spec("");
    let due = |share| [0, 1, 2, 3].map(|round| spec.due(round, share).as_secs_f64());
    assert_eq!(due(0.0), [0.0, 2.5, 7.5, 12.5]);
    assert_eq!(due(0.5), [0.5, 3.75, 8.75, 13.75]);
    assert_eq!(due(1.0), [1.0, 5.0, 10.0, 15.0]);
    let shares: Vec<f64> = (0..1000)
        .map(|number| share_of(&WorkerId(format!("chat-stable-1-{number:x}").into())))
        .collect();
    let early = shares.iter().filter(|share| **share < 0.25).count();
    assert!((200..300).contains(&early), "{early} of 1000 in a quarter");
}

#[test]
fn without_a_rule_nobody_is_asked() {
    let text = "listeners = [{ address = \"127.0.0.1:0\" }]
         [services.chat.deployments.stable]
         process.shell = \"true\"
         metrics.interval = \"1s\"";
    let config = penstock_config::parse(text, Path::new("test.toml")).unwrap();
    let deployment = &config.services["chat"].deployments["stable"];
    assert!(ScrapeSpec::of(deployment).is_none());
}
