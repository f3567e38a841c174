//! Clients that send or read so slowly that they would keep everybody else from being served.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future::join_all};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use crate::{
    http2::raw,
    support::{
        Task,
        client::{
            BoxError, Client, Events, Exchange, RawConnection, by_pieces, empty, over_h1, over_h2,
        },
        fake::{Behaviour, FakeWorker},
        h2_client::{H2Client, piece, whole},
        h2_worker::H2Worker,
        penstock::Penstock,
        soon,
    },
};

/// What `max_concurrency` allows, and how many slow clients there are of each kind.
const PLACES: usize = 4;

/// The service `chat` with this protocol to its worker, which has four places.
async fn before(worker: SocketAddr, protocol: &str, settings: &str) -> Penstock {
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        protocol = "{protocol}"
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = ["{worker}"] }}
        max_concurrency = {PLACES}
        "#
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock
}

/// Whether four requests at once have all four places.
async fn all_places_are_free(worker: &FakeWorker, penstock: &Penstock, client: &Client) {
    let held = (0..PLACES).map(|_| client.get("/hold"));
    let full = async {
        penstock.until_load("chat", PLACES, 0).await;
        worker.release(PLACES);
    };
    let (replies, ()) = tokio::join!(join_all(held), full);
    assert!(replies.iter().all(|reply| reply.text() == "released"));
}

/// Begins an upload over HTTP/1.1, of which the client is told that it is wanted.
async fn upload(penstock: &Penstock, framing: &str) -> RawConnection {
    let mut client = RawConnection::open(penstock.address).await;
    let host = penstock.client("chat").host;
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\n{framing}\r\n\r\n");
    client.write(head).await;
    client.read_until("100 Continue\r\n\r\n").await;
    client
}

#[tokio::test]
async fn uploads_of_a_byte_per_second_take_no_place() {
    let both = ["http1", "h2"].map(async |protocol| {
        let worker = FakeWorker::start().await;
        worker.on("/hold", Behaviour::Hold);
        worker.on("/echo", Behaviour::Echo);
        let penstock = before(worker.address, protocol, "").await;
        let client = penstock.client("chat");
        let mut sending = Vec::new();
        for number in 0..PLACES {
            let (framing, body) = match number % 2 {
                0 => ("content-length: 5", "hello"),
                _ => ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            };
            let mut client = upload(&penstock, framing).await;
            sending.push(tokio::spawn(async move {
                for byte in body.bytes() {
                    client.write([byte]).await;
                    sleep(Duration::from_millis(400)).await;
                }
                let answer = client.read_until("hello").await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }));
        }
        let h2 = H2Client::connect(penstock.address).await;
        let mut calls = Vec::new();
        for _ in 0..PLACES {
            calls.push(h2.begin(&client, Method::POST, "/echo").await);
        }
        // What was begun before it on the connection is known by then.
        assert_eq!(h2.get_whole(&client, "/").await.1, "ok");
        for client in [client.clone(), client.h2()] {
            all_places_are_free(&worker, &penstock, &client).await;
        }
        let seen = worker.seen();
        assert_eq!(seen.started, 1 + 2 * PLACES, "{seen:?}");
        for mut call in calls {
            call.body.send_data("hel".into(), false).unwrap();
            call.body.send_data("lo".into(), true).unwrap();
            let answer = call.head().await;
            assert_eq!(answer.status(), 200);
            let (text, _) = whole(answer.into_body()).await;
            assert_eq!(text, "hello");
        }
        for sent in sending {
            soon("an answer to a slow upload", sent).await.unwrap();
        }
        penstock.until_load("chat", 0, 0).await;
    });
    join_all(both).await;
}

/// What is too slow in these tests; a pause of an upload of unknown length ends what is read early later.
const STRICT: &str = r#"
    timeouts = { min_rate = 500, min_rate_window = "1500ms" }
    retries = { buffer = "1KiB" }
"#;

/// How often the gateway ended a request of `chat` because its client was too slow.
async fn until_too_slow(penstock: &Penstock, wanted: usize) {
    let labels = [("service", "chat"), ("reason", "client_too_slow")];
    let what = format!("{wanted} clients were too slow");
    penstock
        .until(&what, |metrics| {
            metrics.sum("penstock_gateway_answers_total", &labels) == wanted as f64
        })
        .await;
}

#[tokio::test]
async fn an_upload_that_is_too_slow_is_ended_before_or_after_it_has_a_place() {
    let both = ["http1", "h2"].map(async |protocol| {
        let worker = FakeWorker::start().await;
        worker.on("/hold", Behaviour::Hold);
        worker.on("/echo", Behaviour::Answer(200, "all of it"));
        let penstock = before(worker.address, protocol, STRICT).await;
        let client = penstock.client("chat");
        // These are not worth waiting for any more once the first KiB is there.
        let mut long = Vec::new();
        for framing in ["content-length: 100000", "transfer-encoding: chunked"] {
            let mut client = upload(&penstock, framing).await;
            client.write(format!("8000\r\n{}", "x".repeat(2000))).await;
            long.push(client);
        }
        let h2 = H2Client::connect(penstock.address).await;
        let mut calls = Vec::new();
        for _ in 0..2 {
            let mut call = h2.begin(&client, Method::POST, "/echo").await;
            call.body.send_data(vec![0; 2000].into(), false).unwrap();
            calls.push(call);
        }
        penstock.until_load("chat", PLACES, 0).await;
        let mut short = Vec::new();
        for framing in ["content-length: 500", "transfer-encoding: chunked"] {
            short.push(upload(&penstock, framing).await);
            // A byte at a time is no pause.
            short.last_mut().unwrap().write("1").await;
        }
        let beside = async {
            // There is no place until the slow ones are gone.
            let served = client.get("/").await;
            assert_eq!(served.text(), "ok");
        };
        let slow = async {
            for client in long.iter_mut().chain(&mut short) {
                let answer = client.read_until("client_too_slow\r\n").await;
                assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            }
            for call in &mut calls {
                let answer = call.head().await;
                assert_eq!(answer.status(), 408);
                assert_eq!(answer.headers()["x-penstock-reason"], "client_too_slow");
            }
        };
        tokio::join!(beside, slow);
        until_too_slow(&penstock, 6).await;
        // Those that had a place were told of; the others never reached it.
        worker.until("all is over", |seen| seen.current == 0).await;
        assert_eq!(worker.seen().aborted, PLACES);
        penstock.until_load("chat", 0, 0).await;
        all_places_are_free(&worker, &penstock, &client).await;
    });
    join_all(both).await;
}

/// An answer without end.
fn endless() -> Behaviour {
    Behaviour::custom(|_| async {
        let piece = Bytes::from(vec![b'x'; 1 << 16]);
        let pieces = futures_util::stream::repeat_with(move || piece.clone());
        let pieces = pieces.map(|piece| Ok::<_, BoxError>(Frame::data(piece)));
        Response::new(BodyExt::boxed(StreamBody::new(pieces)))
    })
}

/// Reads a byte per second from now on.
fn drips(mut stream: TcpStream) -> Task {
    Task::spawn(async move {
        while stream.read_u8().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
}

/// A connection of which little lies in the client's system.
async fn narrow(penstock: &Penstock) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(penstock.address).await.unwrap()
}

#[tokio::test]
async fn readers_of_a_byte_per_second_lose_their_places() {
    let both = ["http1", "h2"].map(async |protocol| {
        let worker = FakeWorker::start().await;
        worker.on("/hold", Behaviour::Hold);
        worker.on("/endless", endless());
        let penstock = before(worker.address, protocol, STRICT).await;
        let client = penstock.client("chat");
        let mut readers = Vec::new();
        for _ in 0..PLACES / 2 {
            let mut reader = narrow(&penstock).await;
            let head = format!("GET /endless HTTP/1.1\r\nhost: {}\r\n\r\n", client.host);
            reader.write_all(head.as_bytes()).await.unwrap();
            readers.push(drips(reader));
            let mut reader = narrow(&penstock).await;
            let head = raw::head(raw::GET, 1, &client, "/endless", true);
            let packet = [raw::PREFACE, &raw::WIDE_OPEN, &head].concat();
            reader.write_all(&packet).await.unwrap();
            readers.push(drips(reader));
        }
        penstock.until_load("chat", PLACES, 0).await;
        assert_eq!(client.get("/").await.text(), "ok");
        until_too_slow(&penstock, PLACES).await;
        worker.until("all is over", |seen| seen.current == 0).await;
        penstock.until_load("chat", 0, 0).await;
        for client in [client.clone(), client.h2()] {
            all_places_are_free(&worker, &penstock, &client).await;
        }
    });
    join_all(both).await;
}

/// Whose window stays closed is too slow as well, though its connection moves.
#[tokio::test]
async fn a_stream_that_is_not_read_beside_one_that_is_loses_its_place() {
    let worker = FakeWorker::start().await;
    worker.on("/endless", endless());
    worker.on("/events", Behaviour::Events);
    let penstock = before(worker.address, "http1", STRICT).await;
    let client = penstock.client("chat");
    let h2 = H2Client::connect(penstock.address).await;
    let mut events = h2.get(&client, "/events").await;
    let _unread = h2.get(&client, "/endless").await;
    penstock.until_load("chat", 2, 0).await;
    let reads = async {
        loop {
            worker.send_event("still here");
            let read = piece(events.body_mut()).await;
            assert!(read.is_ok());
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = until_too_slow(&penstock, 1) => {}
        () = reads => {}
    }
    penstock.until_load("chat", 1, 0).await;
}

/// For how long nothing is said in what may be silent, several windows.
const SILENCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn what_is_idle_on_purpose_stays() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    worker.on("/chat", Behaviour::WebSocket);
    let penstock = before(worker.address, "http1", STRICT).await;
    let calls = H2Worker::start().await;
    let grpc = before(calls.address, "h2", STRICT).await;
    let client = penstock.client("chat");
    let mut h1 = over_h1(&client, "/chat").await;
    let (_connection, mut h2) = over_h2(&client, "/chat").await;
    let mut streams = Vec::new();
    for client in [client.clone(), client.h2()] {
        streams.push(Events::new(
            client.send(Method::GET, "/events", empty()).await,
        ));
    }
    // A call of which neither side says anything, and one whose client reads nothing.
    let caller = H2Client::connect(grpc.address).await;
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let to = grpc.client("chat");
    let mut silent = caller
        .begin_with(&to, Method::POST, "/stuck", &headers)
        .await;
    let mut unread = caller
        .begin_with(&to, Method::POST, "/chatty", &headers)
        .await;
    for call in [&mut silent, &mut unread] {
        assert_eq!(call.head().await.status(), 200);
    }
    sleep(SILENCE).await;
    worker.send_event("hello");
    for events in &mut streams {
        assert_eq!(events.next().await.unwrap(), "hello");
    }
    h1.send("hello".into()).await.unwrap();
    h2.send("hello".into()).await.unwrap();
    let echoes = [
        soon("an echo", h1.next()).await,
        soon("an echo", h2.next()).await,
    ];
    for echo in echoes {
        assert_eq!(echo.unwrap().unwrap().into_text().unwrap(), "hello");
    }
    assert_eq!(calls.seen().taken_back.len(), 0);
    until_too_slow(&penstock, 0).await;
    until_too_slow(&grpc, 0).await;
}

/// Either side of a conversation may wait for the other, also where nothing says that it is one.
#[tokio::test]
async fn an_upload_that_waits_for_an_answer_begins_and_may_be_silent() {
    let both = ["http1", "h2"].map(async |protocol| {
        let worker = FakeWorker::start().await;
        worker.on("/echo", Behaviour::Echo);
        let settings = r#"timeouts = { min_rate = 1000, min_rate_window = "3s" }"#;
        let penstock = before(worker.address, protocol, settings).await;
        let client = penstock.client("chat");
        let talks = [client.clone(), client.h2()].map(async |client| {
            let (mut pieces, body) = by_pieces();
            pieces.send_data("hello".into()).await.unwrap();
            let mut exchange = client.send(Method::POST, "/echo", body).await;
            let hears = async |exchange: &mut Exchange, wanted: &str| {
                let frame = soon("an echo", exchange.response.frame()).await;
                let data = frame.unwrap().unwrap().into_data().unwrap();
                assert_eq!(data, wanted);
            };
            hears(&mut exchange, "hello").await;
            sleep(SILENCE).await;
            pieces.send_data("again".into()).await.unwrap();
            hears(&mut exchange, "again").await;
        });
        join_all(talks).await;
        until_too_slow(&penstock, 0).await;
    });
    join_all(both).await;
}

async fn nobody_was_too_slow(penstock: &Penstock) {
    let labels = [("reason", "client_too_slow")];
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_gateway_answers_total", &labels), 0.0);
}

/// What nobody takes of other uploads has used up the connection's window.
#[tokio::test]
async fn an_upload_that_cannot_be_sent_is_not_too_slow() {
    const MEGABYTE: usize = 1 << 20;
    let worker = H2Worker::start().await;
    let other = FakeWorker::start().await;
    other.on("/", Behaviour::Answer(200, "all of it"));
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        protocol = "h2"
        {STRICT}
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        [services.other]
        {STRICT}
        [services.other.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address, other.address
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock.until_known("other", 1).await;
    let chat = penstock.client("chat");
    let client = H2Client::connect(penstock.address).await;
    let mut stuck = Vec::new();
    for _ in 0..=PLACES {
        let mut call = client.begin(&chat, Method::POST, "/stuck").await;
        call.body.send_data(vec![0; 2000].into(), false).unwrap();
        assert_eq!(call.head().await.status(), 200);
        stuck.push(call);
    }
    for call in &mut stuck {
        call.send_until_blocked(2 * MEGABYTE).await;
    }
    let mut call = client
        .begin(&penstock.client("other"), Method::POST, "/")
        .await;
    assert_eq!(call.send_until_blocked(2000).await, 0, "it can be sent");
    sleep(SILENCE).await;
    nobody_was_too_slow(&penstock).await;
    stuck[0].cancel();
    assert_eq!(call.send_until_blocked(2000).await, 2000);
    call.body.send_data(Bytes::new(), true).unwrap();
    let answer = call.head().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(whole(answer.into_body()).await.0, "all of it");
    nobody_was_too_slow(&penstock).await;
}
