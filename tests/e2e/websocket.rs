//! WebSockets through the gateway.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{
    client::{extended_connect, over_h1, over_h2},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

/// What a request may take in all. Until it has become a tunnel, the opening of a socket is one.
const CLOCKS: Duration = Duration::from_secs(5);

async fn start() -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    worker.on("/ws", Behaviour::WebSocket);
    let settings = format!(
        r#"timeouts = {{ first_byte = "{CLOCKS:?}", idle = "{CLOCKS:?}", total = "{CLOCKS:?}" }}"#
    );
    let penstock = Penstock::before(worker.address, &settings).await;
    (worker, penstock)
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    message: Message,
) {
    soon("room for a message", socket.send(message))
        .await
        .unwrap();
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    soon("a message", socket.next())
        .await
        .expect("an open socket")
        .unwrap()
}

/// Reads until the socket's end and lets go of it, as a well-behaved client does.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    while let Some(Ok(_)) = soon("the socket's end", socket.next()).await {}
}

#[tokio::test]
async fn messages_of_every_size_and_kind_come_back() {
    let (worker, penstock) = start().await;
    let mut socket = over_h1(&penstock.client("chat"), "/ws").await;
    send(&mut socket, Message::text("hello")).await;
    assert_eq!(next(&mut socket).await, Message::text("hello"));

    let large = Message::binary(vec![7; 16 << 20]);
    send(&mut socket, large.clone()).await;
    assert!(next(&mut socket).await == large);

    send(&mut socket, Message::Ping("are you there".into())).await;
    assert_eq!(
        next(&mut socket).await,
        Message::Pong("are you there".into())
    );
    penstock.until_load("chat", 1, 0).await;

    socket.close(None).await.unwrap();
    end(socket).await;
    worker
        .until("it is closed", |seen| seen.finished == 1)
        .await;
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_success_that_is_no_switch_does_not_look_like_an_open_socket_over_http2() {
    let (_worker, penstock) = start().await;
    let (_connection, answer) = extended_connect(&penstock.client("chat"), "/no-socket").await;
    assert_eq!(answer.status(), 502);
    assert_eq!(
        answer.headers()["x-penstock-reason"],
        "bad_upstream_response"
    );
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn close_codes_pass_in_both_directions() {
    let (worker, penstock) = start().await;
    let mut socket = over_h1(&penstock.client("chat"), "/ws").await;
    send(&mut socket, Message::text("close 4001")).await;
    let Message::Close(Some(frame)) = next(&mut socket).await else {
        panic!("no close frame")
    };
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (4001, "as you wish")
    );
    end(socket).await;

    let mut socket = over_h1(&penstock.client("chat"), "/ws").await;
    let frame = CloseFrame {
        code: CloseCode::from(4002),
        reason: "enough".into(),
    };
    send(&mut socket, Message::Close(Some(frame.clone()))).await;
    assert_eq!(next(&mut socket).await, Message::Close(Some(frame)));
    end(socket).await;
    worker
        .until("both are closed", |seen| seen.finished == 2)
        .await;
}

#[tokio::test]
async fn an_open_socket_outlives_every_clock_of_a_request() {
    let (_worker, penstock) = start().await;
    let mut socket = over_h1(&penstock.client("chat"), "/ws").await;
    // Longer than each of the service's timeouts.
    tokio::time::sleep(CLOCKS + CLOCKS / 5).await;
    send(&mut socket, Message::text("still here")).await;
    assert_eq!(next(&mut socket).await, Message::text("still here"));
}

#[tokio::test]
async fn a_client_that_vanishes_ends_the_socket_at_the_worker() {
    let (worker, penstock) = start().await;
    let socket = over_h1(&penstock.client("chat"), "/ws").await;
    worker.until("the socket", |seen| seen.current == 1).await;
    drop(socket);
    worker.until("its end", |seen| seen.current == 0).await;
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_client_that_stays_after_the_workers_end_does_not_hold_its_place() {
    let (worker, penstock) = start().await;
    let mut socket = over_h1(&penstock.client("chat"), "/ws").await;
    socket.close(None).await.unwrap();
    worker
        .until("the worker has closed", |seen| seen.finished == 1)
        .await;
    // The socket is neither read nor dropped.
    penstock.until_load("chat", 0, 0).await;
    drop(socket);
}

#[tokio::test]
async fn extended_connect_over_http2_reaches_an_http1_worker() {
    let (worker, penstock) = start().await;
    let (connection, mut socket) = over_h2(&penstock.client("chat"), "/ws").await;
    for size in [0, 1, 100_000] {
        let message = Message::binary(vec![3; size]);
        send(&mut socket, message.clone()).await;
        assert!(next(&mut socket).await == message);
    }
    penstock.until_load("chat", 1, 0).await;
    socket.close(None).await.unwrap();
    end(socket).await;
    worker.until("it is closed", |seen| seen.current == 0).await;
    penstock.until_load("chat", 0, 0).await;
    drop(connection);
}
