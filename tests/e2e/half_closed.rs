//! Clients and workers that end one side of a connection, or all of it, at a moment that is easily
//! misunderstood.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::support::{
    client::RawConnection,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

const HOST: &str = "host: chat.local.localhost\r\n";

/// A worker that shows its connections to the test.
async fn shown() -> (SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (show, shown) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if show.send(stream).is_err() {
                return;
            }
        }
    });
    (address, shown)
}

/// The next connection on which something is asked, and what: probes come and go without a word.
async fn asked(workers: &mut mpsc::UnboundedReceiver<TcpStream>) -> (TcpStream, String) {
    loop {
        let mut worker = workers.recv().await.unwrap();
        if let Some(head) = head(&mut worker).await {
            return (worker, head);
        }
    }
}

/// Reads a whole head, and perhaps more.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(String::from_utf8(read).unwrap())
}

#[tokio::test]
async fn who_only_ends_its_own_side_gets_the_answer() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    for request in [
        format!("GET / HTTP/1.1\r\n{HOST}\r\n"),
        format!("POST / HTTP/1.1\r\n{HOST}content-length: 4\r\n\r\nbody"),
        format!("GET / HTTP/1.0\r\n{HOST}\r\n"),
    ] {
        let mut client = RawConnection::open(penstock.address).await;
        client.write(&request).await;
        client.end().await;
        let (mut worker, _) = asked(&mut workers).await;
        // Long enough for whoever would take that for a client that has gone.
        penstock.until_load("chat", 1, 0).await;
        tokio::task::yield_now().await;
        worker
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .await
            .unwrap();
        let answer = client.read_to_end().await;
        assert!(
            answer.contains("HTTP/1.1 200 OK") && answer.ends_with("ok"),
            "{answer}"
        );
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn who_leaves_while_the_worker_is_silent_is_missed_at_once() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    for behind in [
        "",
        "\r\n",
        "GET /next HTTP/1.1\r\nhost: chat.local.localhost\r\n\r\n",
    ] {
        let mut client = RawConnection::open(penstock.address).await;
        client
            .write(format!("GET / HTTP/1.1\r\n{HOST}\r\n{behind}"))
            .await;
        let (mut worker, _) = asked(&mut workers).await;
        drop(client);
        assert_eq!(
            worker.read(&mut [0; 16]).await.unwrap_or(0),
            0,
            "{behind:?}"
        );
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn who_leaves_between_two_events_is_missed_at_once() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    let mut client = RawConnection::open(penstock.address).await;
    client.write(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let (mut worker, _) = asked(&mut workers).await;
    worker
        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .unwrap();
    client.read_until("one\r\n").await;
    drop(client);
    assert_eq!(worker.read(&mut [0; 16]).await.unwrap_or(0), 0);
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn who_ends_its_own_side_in_the_middle_of_an_answer_gets_the_rest() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    let mut client = RawConnection::open(penstock.address).await;
    client.write(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let (mut worker, _) = asked(&mut workers).await;
    worker
        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .unwrap();
    client.read_until("one\r\n").await;
    client.end().await;
    // The gateway has seen the end when it asks, by a zero that changes nothing.
    assert_eq!(client.read_until("0").await, "0");
    worker.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(client.read_to_end().await, "3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_ends_reaches_the_client() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    for _ in 0..20 {
        let client = TcpStream::connect(penstock.address).await.unwrap();
        let (mut answer, mut request) = client.into_split();
        let head = format!("POST / HTTP/1.1\r\n{HOST}content-length: 100000000\r\n\r\n");
        request.write_all(head.as_bytes()).await.unwrap();
        // Sends on and on, until somebody does not want it.
        let upload = async { while request.write_all(&[0; 10_000]).await.is_ok() {} };
        let refused = async {
            let (mut worker, _) = asked(&mut workers).await;
            let answer =
                b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!";
            worker.write_all(answer).await.unwrap();
            // Closed with unread bytes, it is reset.
        };
        let told = async {
            let mut read = Vec::new();
            while !read.ends_with(b"no!") {
                assert!(answer.read_buf(&mut read).await.unwrap() > 0, "no answer");
            }
            assert!(read.starts_with(b"HTTP/1.1 413"));
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(refused, told) } => {}
            () = upload => panic!("the upload ended before the answer was read"),
        }
        drop((answer, request));
        penstock.until_load("chat", 0, 0).await;
    }
    let metrics = penstock.metrics().await;
    assert_eq!(
        metrics.sum("penstock_requests_total", &[("code", "413")]),
        20.0
    );
    assert_eq!(metrics.sum("penstock_ejections_total", &[]), 0.0);
}

#[tokio::test]
async fn a_tunnel_of_which_one_half_has_ended_lives_while_the_other_carries_data() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    let mut client = RawConnection::open(penstock.address).await;
    client
        .write(format!(
            "GET / HTTP/1.1\r\n{HOST}connection: upgrade\r\nupgrade: echo\r\n\r\nearly"
        ))
        .await;
    let (mut worker, head) = asked(&mut workers).await;
    assert!(head.contains("upgrade: echo"));
    worker
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello")
        .await
        .unwrap();
    assert!(client.read_until("hello").await.starts_with("HTTP/1.1 101"));
    let mut early = [0; 5];
    worker.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    client.end().await;
    assert_eq!(worker.read(&mut [0; 16]).await.unwrap(), 0);
    // Longer in all than an ended tunnel may be silent.
    for number in 0..7 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        worker
            .write_all(number.to_string().as_bytes())
            .await
            .unwrap();
        assert_eq!(
            client.read_until(&number.to_string()).await,
            number.to_string()
        );
    }
    drop(worker);
    assert_eq!(client.read_to_end().await, "");
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn interim_answers_and_trailers_reach_the_client() {
    let (address, mut workers) = shown().await;
    let penstock = Penstock::before(address, "").await;
    let mut client = RawConnection::open(penstock.address).await;
    client.write(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    let (mut worker, _) = asked(&mut workers).await;
    worker
        .write_all(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nkeep-alive: 5\r\n\r\n\
            HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ngrpc-status: 0\r\ncontent-length: 3\r\n\r\n",
        )
        .await
        .unwrap();
    let hints = client.read_until("\r\n\r\n").await;
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    assert!(
        client
            .read_until("\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    assert_eq!(
        client.read_until("\r\n\r\n").await,
        "0\r\ngrpc-status: 0\r\n\r\n"
    );
    // The worker's 100 was not asked for, and the connection goes on.
    client.write(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    assert!(head(&mut worker).await.unwrap().starts_with("GET / "));
}

#[tokio::test]
async fn a_body_that_is_framed_wrongly_is_answered_and_the_worker_is_not_blamed() {
    let worker = FakeWorker::start().await;
    worker.on("/", Behaviour::Answer(200, "read"));
    let penstock = Penstock::before(worker.address, "").await;
    for (body, status, reason) in [
        ("3\r\nabcd\r\n0\r\n\r\n", 400, "bad_request"),
        ("x\r\n", 400, "bad_request"),
        ("3\nabc\n0\n\n", 400, "bad_request"),
        ("0\r\nno trailer\r\n\r\n", 400, "bad_request"),
    ] {
        let mut client = RawConnection::open(penstock.address).await;
        client
            .write(format!(
                "POST / HTTP/1.1\r\n{HOST}transfer-encoding: chunked\r\n\r\n{body}"
            ))
            .await;
        let answer = client.read_to_end().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{body:?}\n{answer}"
        );
        assert!(
            answer.contains(&format!("x-penstock-reason: {reason}")),
            "{answer}"
        );
        penstock.until_load("chat", 0, 0).await;
    }
    let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let mut client = RawConnection::open(penstock.address).await;
    client
        .write(format!(
            "POST / HTTP/1.1\r\n{HOST}transfer-encoding: chunked\r\n\r\n{long}"
        ))
        .await;
    assert!(client.read_to_end().await.starts_with("HTTP/1.1 431"));
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_ejections_total", &[]), 0.0);
}
