//! Answers that are read slowly, and answers that are not read at all.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep},
};

use super::{before, raw};
use crate::support::{h2_client::H2Client, h2_worker::H2Worker, processes::memory_kib, soon};

/// The whole time less than a piece that the gateway asks for is taken within `idle`.
#[tokio::test]
async fn who_reads_slowly_all_the_time_is_not_idle() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "timeouts = { idle = \"2s\" }").await;
    let client = H2Client::connect_with(penstock.address, 2048).await;
    let mut answer = client.get(&penstock.client("chat"), "/pour").await;
    let (body, begun) = (answer.body_mut(), Instant::now());
    while begun.elapsed() < Duration::from_secs(7) {
        let piece = soon("a piece of an answer", body.data()).await;
        let piece = piece.expect("it goes on").expect("it is not cut off");
        sleep(Duration::from_millis(500)).await;
        let _ = body.flow_control().release_capacity(piece.len());
    }
    assert_eq!(worker.seen().taken_back.len(), 0);
    // Who stops is idle.
    worker
        .until("it is taken back", |seen| seen.taken_back.len() == 1)
        .await;
    penstock.until_load("chat", 0, 0).await;
}

/// What the client's window lets pass lies in the buffers of both systems, for much longer than `idle`.
#[tokio::test]
async fn who_reads_its_socket_slowly_is_not_idle_either() {
    let worker = H2Worker::start().await;
    let penstock = before(&worker, "timeouts = { idle = \"2s\" }").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut client = socket.connect(penstock.address).await.unwrap();
    let head = raw::head(raw::GET, 1, &penstock.client("chat"), "/pour", true);
    let packet = [raw::PREFACE, &raw::WIDE_OPEN, &head].concat();
    client.write_all(&packet).await.unwrap();
    let (mut room, begun) = ([0; 4096], Instant::now());
    while begun.elapsed() < Duration::from_secs(8) {
        let read = soon("some bytes", client.read(&mut room)).await.unwrap();
        assert!(read > 0, "the connection ends");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(worker.seen().taken_back.len(), 0);
    // Who stops is idle.
    worker
        .until("it is taken back", |seen| seen.taken_back.len() == 1)
        .await;
    penstock.until_load("chat", 0, 0).await;
}

/// KiB that a hundred answers of one connection may cost which nobody reads.
const ROOM: u64 = 11 << 10;

#[tokio::test]
async fn answers_that_nobody_reads_are_held_within_bounds() {
    for (path, window) in [("/pour", 65_535), ("/pour", 1 << 24), ("/events", 65_535)] {
        let worker = H2Worker::start().await;
        let penstock = before(&worker, "").await;
        let chat = penstock.client("chat");
        let warm = H2Client::connect_with(penstock.address, window).await;
        drop(warm.get(&chat, path).await);
        worker
            .until("it is taken back", |seen| seen.taken_back.len() == 1)
            .await;
        let before = memory_kib(penstock.pid(), "VmRSS");
        let client = H2Client::connect_with(penstock.address, window).await;
        let mut unread = Vec::new();
        for _ in 0..100 {
            unread.push(client.get(&chat, path).await);
        }
        // Until nothing moves any more.
        sleep(Duration::from_secs(2)).await;
        let grown = memory_kib(penstock.pid(), "VmRSS").saturating_sub(before);
        println!("{path} with a window of {window}: {grown} KiB");
        assert!(
            grown < ROOM,
            "{grown} KiB for {path} with a window of {window}"
        );
    }
}
