//! Workers that allow fewer HTTP/2 streams at once than there are requests.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{
    Task,
    client::{Client, Reply, by_pieces},
    eventually,
    few_streams::FewStreams,
    h2_frames::{Frames, HEADERS, SETTINGS},
    penstock::Penstock,
    soon,
};

/// The service `chat` before these workers, each of which a single failure ejects.
async fn before(workers: &[SocketAddr], settings: &str) -> Penstock {
    let addresses: Vec<String> = workers.iter().map(ToString::to_string).collect();
    let penstock = Penstock::start(&format!(
        r#"
        gateway.threads = 1
        gateway.access_log = "json"
        [services.chat]
        protocol = "h2"
        balance = "round-robin"
        ejection = {{ failures = 1, max_ejected_percent = 100 }}
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = {addresses:?} }}
        # The gateway finds out itself.
        probes.ready = {{ tcp = false }}
        "#
    ))
    .await;
    penstock.until_known("chat", workers.len()).await;
    penstock
}

/// Sends so many requests at once; their answers.
fn at_once(client: &Client, requests: usize) -> impl Future<Output = Vec<Reply>> + use<> {
    let client = client.clone();
    let requests = (0..requests).map(move |_| {
        let client = client.clone();
        async move { client.get("/").await }
    });
    join_all(requests.collect::<Vec<_>>())
}

/// Whether a worker failed a request, as the gateway sees it: it ejects it, or says that it cannot.
async fn was_blamed(penstock: &Penstock) -> bool {
    let ejections = penstock
        .metrics()
        .await
        .sum("penstock_ejections_total", &[]);
    ejections > 0.0
        || penstock
            .log()
            .contains("a worker fails request after request")
}

async fn nobody_was_blamed(penstock: &Penstock) {
    assert!(!was_blamed(penstock).await, "{}", penstock.log());
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_retries_total", &[]), 0.0);
}

/// What the access log says of how long something took, in milliseconds, for requests that were answered.
fn times(penstock: &Penstock, clock: &str) -> Vec<f64> {
    let log = penstock.log();
    let lines = log.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["status"] == 200).then(|| line[clock].as_f64())
    });
    lines.map(|time| time.unwrap_or(0.0)).collect()
}

#[tokio::test]
async fn more_requests_than_a_connection_takes_open_another_one() {
    let worker = FewStreams::start(2).await;
    let penstock = before(&[worker.address], "").await;
    let client = penstock.client("chat");
    let connecting = Instant::now();
    let answers = tokio::spawn(at_once(&client, 6));
    worker
        .until("a connection", |seen| seen.connections > 0)
        .await;
    penstock.until_load("chat", 6, 0).await;
    let pause = Duration::from_millis(100);
    sleep(pause).await;
    worker.say_settings();
    let seen = worker
        .until("all requests", |seen| seen.requests == 6)
        .await;
    assert_eq!(
        (seen.used, seen.connections),
        (3, 3),
        "with two streams each"
    );
    let connected = connecting.elapsed();
    sleep(pause).await;
    worker.answer_all();
    for answer in answers.await.unwrap() {
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
    }
    nobody_was_blamed(&penstock).await;

    let connects = eventually("six lines in the log", async || {
        Some(times(&penstock, "connect_ms")).filter(|times| times.len() == 6)
    })
    .await;
    let in_full = |time: Duration| time.as_secs_f64() * 1e3;
    for time in &connects {
        assert!(
            *time >= in_full(pause) && *time <= in_full(connected),
            "{connects:?}, all within {connected:?}"
        );
    }
    for time in times(&penstock, "first_byte_ms") {
        assert!(time >= 2.0 * in_full(pause), "from the request's head on");
    }

    // What was opened is used again.
    at_once(&client, 6).await;
    let seen = worker.seen();
    assert_eq!((seen.requests, seen.connections), (12, 3));
}

#[tokio::test]
async fn a_worker_that_allows_one_stream_gets_a_connection_for_each_request() {
    let worker = FewStreams::start(1).await;
    worker.say_settings();
    let penstock = before(&[worker.address], "").await;
    let answers = tokio::spawn(at_once(&penstock.client("chat"), 40));
    let seen = worker
        .until("all requests", |seen| seen.requests == 40)
        .await;
    assert_eq!((seen.used, seen.connections), (40, 40));
    worker.answer_all();
    let answers = answers.await.unwrap();
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    nobody_was_blamed(&penstock).await;
}

#[tokio::test]
async fn a_worker_that_allows_no_stream_is_busy() {
    let (busy, good) = (FewStreams::start(0).await, FewStreams::start(100).await);
    busy.say_settings();
    good.say_settings().answer_all();
    let settings = "timeouts = { connect = \"300ms\" }";
    let penstock = before(&[busy.address, good.address], settings).await;
    for _ in 0..2 {
        for answer in at_once(&penstock.client("chat"), 3).await {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        }
    }
    assert!(!was_blamed(&penstock).await, "{}", penstock.log());
    assert_eq!((busy.seen().requests, good.seen().requests), (0, 6));

    let alone = before(&[busy.address], settings).await;
    let answer = alone.client("chat").get("/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (502, "connect_failed")
    );
    let told = format!(
        "{} allowed no HTTP/2 stream within 300ms: SETTINGS_MAX_CONCURRENT_STREAMS was 0",
        busy.address
    );
    eventually(&told, async || alone.log().contains(&told).then_some(())).await;
    assert!(!was_blamed(&alone).await, "{}", alone.log());
}

#[tokio::test]
async fn a_body_that_is_still_sent_after_its_answer_keeps_its_stream() {
    let worker = FewStreams::start(1).await;
    worker.say_settings().answer_all();
    let penstock = before(&[worker.address], "").await;
    let client = penstock.client("chat");
    let (mut pieces, body) = by_pieces();
    pieces.send_data("begun".into()).await.unwrap();
    let early = client.send(Method::POST, "/early", body).await;
    let mut answer = early.response;
    let whole = BodyExt::collect(answer.body_mut());
    assert_eq!(soon("its answer", whole).await.unwrap().to_bytes(), "ok");
    assert_eq!(worker.seen().bodies, 0);
    let answer = client.get("/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(worker.seen().used, 2, "it did not wait for the stream");
    drop(pieces);
    worker
        .until("the bodies' ends", |seen| seen.bodies == 2)
        .await;
    nobody_was_blamed(&penstock).await;
}

/// A worker that says how many streams it allows, and later something else, below HTTP.
struct Fickle {
    address: SocketAddr,
    allows: watch::Sender<u8>,
    seen: watch::Receiver<Met>,
    _accepting: Task,
}

/// What it has met with.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    connections: usize,
    requests: usize,
    /// Settings of its own that the other side has taken note of.
    noted: usize,
}

impl Fickle {
    /// Answers its requests, or not.
    async fn start(streams: u8, answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (allows, says) = watch::channel(streams);
        let (sees, seen) = watch::channel(Met::default());
        let accepting = Task::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                sees.send_modify(|met| met.connections += 1);
                let (mut says, sees) = (says.clone(), sees.clone());
                says.mark_changed();
                connections.spawn(async move {
                    // An error is the other side leaving.
                    let _ = talk(stream, says, sees, answers).await;
                });
            }
        });
        Self {
            address,
            allows,
            seen,
            _accepting: accepting,
        }
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Met) -> bool) -> Met {
        *soon(what, self.seen.wait_for(|met| wanted(met)))
            .await
            .expect("the worker is there")
    }
}

async fn talk(
    mut stream: TcpStream,
    mut says: watch::Receiver<u8>,
    sees: watch::Sender<Met>,
    answers: bool,
) -> std::io::Result<()> {
    let mut frames = Frames::default();
    loop {
        tokio::select! {
            Ok(()) = says.changed() => {
                let streams = *says.borrow_and_update();
                let setting = [0, 3, 0, 0, 0, streams];
                let frame = [&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0][..], &setting].concat();
                stream.write_all(&frame).await?;
            }
            frame = frames.next(&mut stream) => {
                let frame = frame?;
                let is_ack = frame.kind == SETTINGS && frame.flags == 1;
                sees.send_modify(|met| {
                    met.noted += usize::from(is_ack);
                    met.requests += usize::from(frame.kind == HEADERS);
                });
                if frame.kind == SETTINGS && !is_ack {
                    stream.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).await?;
                }
                if frame.kind == HEADERS && answers {
                    // `:status: 200`, and no body.
                    let [a, b, c, d] = frame.stream;
                    stream.write_all(&[0, 0, 1, HEADERS, 5, a, b, c, d, 0x88]).await?;
                }
            }
        }
    }
}

#[tokio::test]
async fn requests_wait_for_a_worker_that_allows_no_stream_yet() {
    let mut worker = Fickle::start(0, true).await;
    let penstock = before(&[worker.address], "").await;
    let answers = tokio::spawn(at_once(&penstock.client("chat"), 5));
    worker
        .until("settings are noted", |met| met.noted == 1)
        .await;
    penstock.until_load("chat", 5, 0).await;
    worker.allows.send(50).unwrap();
    for answer in answers.await.unwrap() {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let met = worker.until("all requests", |met| met.requests == 5).await;
    assert_eq!(met.connections, 1);
    nobody_was_blamed(&penstock).await;
}

#[tokio::test]
async fn a_worker_that_comes_to_allow_less_is_not_blamed_for_what_waits() {
    let mut worker = Fickle::start(100, false).await;
    let settings = "timeouts = { first_byte = \"3s\" }";
    let penstock = before(&[worker.address], settings).await;
    let client = penstock.client("chat");
    let late = async |answers: Vec<Reply>| {
        for answer in answers {
            assert_eq!(answer.reason(), "first_byte_timeout", "{}", answer.text());
        }
    };

    let answers = tokio::spawn(at_once(&client, 3));
    worker.until("all requests", |met| met.requests == 3).await;
    worker.allows.send(0).unwrap();
    worker
        .until("the change is noted", |met| met.noted == 2)
        .await;
    late(answers.await.unwrap()).await;
    assert!(!was_blamed(&penstock).await, "{}", penstock.log());

    worker.allows.send(100).unwrap();
    worker
        .until("the change is noted", |met| met.noted == 3)
        .await;
    late(at_once(&client, 1).await).await;
    // This one it had.
    eventually("it is blamed", async || {
        was_blamed(&penstock).await.then_some(())
    })
    .await;
}
