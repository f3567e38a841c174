//! What looks like abuse and is ordinary use: a connection with others' streams goes on.

use h2::RecvStream;
use http::Method;

use super::{
    before,
    raw::{
        GET, GOAWAY, HEADERS, POST, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, head, next,
    },
};
use crate::support::{
    client::RawConnection,
    h2_client::{H2Client, piece},
    h2_worker::H2Worker,
    penstock::Penstock,
};

/// Reads frames until the answer to this stream's request has begun; nothing may end the connection before.
async fn until_answered(client: &mut RawConnection, stream: u32) {
    loop {
        let next = next(client).await;
        assert_ne!(next.0, GOAWAY, "the connection ends");
        if next == (HEADERS, stream) {
            return;
        }
    }
}

/// An innocent stream on the connection, which goes on.
async fn goes_on(events: &mut RecvStream) {
    for _ in 0..20 {
        piece(events).await.expect("an innocent stream goes on");
    }
}

#[tokio::test]
async fn many_cancels_at_once_and_again_leave_other_streams_alone() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let client = H2Client::connect(penstock.address).await;
    let mut events = client.get(&chat, "/events").await.into_body();
    for (rounds, cancels) in [(1, 40), (22, 90)] {
        for round in 0..rounds {
            let mut calls = Vec::new();
            for number in 0..cancels {
                let path = ["/hold", "/events", "/stuck"][number % 3];
                calls.push(client.begin(&chat, Method::POST, path).await);
            }
            // Half of the rounds have begun to be answered.
            if round % 2 == 0 {
                let head = &mut calls[1];
                head.head().await;
            }
            for call in &mut calls {
                call.cancel();
            }
        }
        goes_on(&mut events).await;
    }
    penstock.until_load("chat", 1, 0).await;
    goes_on(&mut events).await;
    let (status, text) = client.get_whole(&chat, "/length").await;
    assert_eq!((status, &*text), (200, "0"));
    assert_eq!(worker.seen().broken, 0);
    // A worker that counts such things ends no connection of ours.
    assert!(worker.seen().connections > 1, "connections are retired");
}

#[tokio::test]
async fn requests_that_are_taken_back_in_the_same_packet_end_no_connection() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let mut client = RawConnection::open(penstock.address).await;
    let mut packet = PREFACE.to_vec();
    for number in 0..90 {
        let stream = 2 * number + 1;
        packet.extend(head(GET, stream, &chat, "/hold", true));
        packet.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    packet.extend(head(GET, 201, &chat, "/length", true));
    client.write(packet).await;
    until_answered(&mut client, 201).await;
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn empty_frames_end_no_connection_on_either_side() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let mut client = RawConnection::open(penstock.address).await;
    let mut packet = PREFACE.to_vec();
    packet.extend(head(POST, 1, &chat, "/length", false));
    packet.extend(frame(0, 0, 1, b"").repeat(500));
    packet.extend(frame(0, 1, 1, b""));
    client.write(packet).await;
    until_answered(&mut client, 1).await;

    let client = H2Client::connect(penstock.address).await;
    for _ in 0..3 {
        assert_eq!(
            client.get_whole(&chat, "/empty").await,
            (200, "ok".to_owned())
        );
    }
    assert_eq!(worker.seen().connections, 1);
}

#[tokio::test]
async fn thousands_of_small_frames_that_wait_end_no_connection() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let mut client = RawConnection::open(penstock.address).await;
    client.write(PREFACE).await;
    // It has the window of a connection that the gateway allows, and so by then that of a stream.
    while next(&mut client).await.0 != WINDOW_UPDATE {}
    let mut packet = frame(SETTINGS, 1, 0, b"");
    packet.extend(head(POST, 1, &chat, "/stuck", false));
    packet.extend(frame(0, 0, 1, &[b'x'; 20]).repeat(9000));
    packet.extend(head(GET, 3, &chat, "/length", true));
    client.write(packet).await;
    until_answered(&mut client, 3).await;
}

#[tokio::test]
async fn stalled_readers_end_no_connection_to_their_worker() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let (stalled, client) = (
        H2Client::connect(penstock.address).await,
        H2Client::connect(penstock.address).await,
    );
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(stalled.get(&chat, "/events").await);
    }
    let mut events = client.get(&chat, "/events").await.into_body();
    for _ in 0..20_000 {
        piece(&mut events)
            .await
            .expect("an innocent stream goes on");
    }
    assert_eq!(worker.seen().connections, 1);
    assert_eq!(worker.seen().taken_back.len(), 0);
}

#[tokio::test]
async fn a_flood_of_empty_frames_is_cut_off() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "").await;
    let mut client = RawConnection::open(penstock.address).await;
    let head = head(POST, 1, &penstock.client("chat"), "/length", false);
    client.write([PREFACE, &head].concat()).await;
    client.write(frame(0, 0, 1, b"").repeat(100_000)).await;
    client.read_to_end().await;
    let flood = [("reason", "flood")];
    let page = penstock.metrics().await;
    assert_eq!(page.sum("penstock_connections_shed_total", &flood), 1.0);
}

/// What is no ordinary use any more is cut off as before.
#[tokio::test]
async fn a_flood_of_cancels_is_cut_off() {
    let worker = H2Worker::start().await;
    let penstock: Penstock = before(&worker, "").await;
    let chat = penstock.client("chat");
    let mut client = RawConnection::open(penstock.address).await;
    client.write(PREFACE).await;
    let mut stream = 1;
    let mut packet = Vec::new();
    for _ in 0..20_000 {
        packet.extend(head(GET, stream, &chat, "/hold", true));
        packet.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        stream += 2;
    }
    client.write(packet).await;
    client.read_to_end().await;
    let flood = [("reason", "flood")];
    let page = penstock.metrics().await;
    assert_eq!(page.sum("penstock_connections_shed_total", &flood), 1.0);
}
