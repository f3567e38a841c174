//! Clients that leave, at every stage of a request: nothing of it stays.

use std::time::Duration;

use http::Method;

use crate::support::{
    client::{Client, Events, RawConnection, by_pieces, empty},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    unreachable::Unreachable,
};

/// A service whose worker never gets ready.
const NEVER_READY: &str = r#"
    [services.chat.deployments.main]
    process = { command = ["sleep", "1000000"] }
    scaling = { min = 0, max = 1 }
    "#;

fn fixed(address: std::net::SocketAddr, more: &str) -> String {
    format!(
        r#"
        [services.chat.deployments.main]
        static = {{ addresses = ["{address}"] }}
        {more}
        "#
    )
}

#[tokio::test]
async fn leaving_the_queue_over_http1() {
    let penstock = Penstock::start(NEVER_READY).await;
    let Client { host, .. } = penstock.client("chat");
    for request in [
        format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\n\r\nwhole"),
        format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000\r\n\r\na part"),
        format!("POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"),
    ] {
        let mut client = RawConnection::open(penstock.address).await;
        client.write(&request).await;
        penstock.until_load("chat", 0, 1).await;
        drop(client);
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn leaving_the_queue_with_more_body_unread_than_the_socket_holds() {
    let penstock = Penstock::start(NEVER_READY).await;
    let Client { host, .. } = penstock.client("chat");
    let mut client = RawConnection::open(penstock.address).await;
    client
        .write(format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000000\r\n\r\n"
        ))
        .await;
    penstock.until_load("chat", 0, 1).await;
    // Nobody reads the body of a request that waits.
    let taken = client.write_until_full().await;
    assert!(taken < 50_000_000, "{taken} bytes went somewhere");
    penstock.until_load("chat", 0, 1).await;
    // A polite end would wait behind the unread body, in the client's own system.
    client.reset();
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn leaving_the_queue_by_an_http2_reset() {
    let penstock = Penstock::start(NEVER_READY).await;
    let client = penstock.client("chat").h2();
    let mut connection = client.connect().await.unwrap();
    for _ in 0..3 {
        {
            let mut waiting =
                std::pin::pin!(connection.send(client.request(Method::GET, "/", empty())));
            tokio::select! {
                answer = &mut waiting => panic!("answered by nobody: {answer:?}"),
                () = penstock.until_load("chat", 0, 1) => {}
            }
        }
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn leaving_while_the_gateway_connects() {
    let nowhere = Unreachable::new().await;
    let penstock = Penstock::start(&fixed(nowhere.address, "max_concurrency = 1")).await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let waiting = tokio::spawn(async move { client.get("/").await });
        penstock.until_load("chat", 1, 0).await;
        waiting.abort();
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn leaving_before_the_answer_cancels_the_work() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let penstock = Penstock::start(&fixed(worker.address, "")).await;
    let client = penstock.client("chat");
    for (number, client) in [client.clone(), client.h2()].into_iter().enumerate() {
        let waiting = tokio::spawn(async move { client.get("/hold").await });
        worker.until("the request", |seen| seen.current == 1).await;
        waiting.abort();
        worker
            .until("the request is given up", |seen| seen.aborted == number + 1)
            .await;
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn leaving_in_the_middle_of_an_answer_cancels_the_work() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let penstock = Penstock::start(&fixed(worker.address, "")).await;
    let client = penstock.client("chat");
    for (number, client) in [client.clone(), client.h2()].into_iter().enumerate() {
        let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
        worker.send_event("first");
        assert_eq!(events.next().await.unwrap(), "first");
        drop(events);
        worker
            .until("the request is given up", |seen| seen.aborted == number + 1)
            .await;
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn leaving_in_the_middle_of_an_upload_cancels_the_work() {
    let worker = FakeWorker::start().await;
    worker.on("/upload", Behaviour::Answer(200, "done"));
    let penstock = Penstock::start(&fixed(worker.address, "")).await;
    let client = penstock.client("chat");
    for (number, client) in [client.clone(), client.h2()].into_iter().enumerate() {
        let (mut pieces, body) = by_pieces();
        let upload = tokio::spawn(async move {
            client
                .try_send(client.request(Method::POST, "/upload", body))
                .await
        });
        pieces.send_data("a part".into()).await.unwrap();
        worker.until("the upload", |seen| seen.current == 1).await;
        upload.abort();
        worker
            .until("the upload is given up", |seen| seen.aborted == number + 1)
            .await;
        penstock.until_load("chat", 0, 0).await;
    }
}

#[tokio::test]
async fn clients_that_leave_at_any_moment_leave_nothing_behind() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let penstock =
        Penstock::start(&fixed(worker.address, "max_concurrency = 4\nramp = false")).await;
    let client = penstock.client("chat");
    let clients = (0..400u64).map(|number| {
        let client = if number % 2 == 0 {
            client.clone()
        } else {
            client.h2()
        };
        // Spread over the time that a request takes from its connection to its answer.
        let patience = Duration::from_micros(number * 7919 % 20_000);
        async move {
            let path = if number % 5 == 0 { "/hold" } else { "/" };
            let request = client.request(Method::GET, path, empty());
            let _ = tokio::time::timeout(patience, async {
                client.try_send(request).await?.try_whole().await
            })
            .await;
        }
    });
    futures_util::future::join_all(clients).await;
    penstock.until_load("chat", 0, 0).await;
    worker
        .until("nothing is here", |seen| seen.current == 0)
        .await;

    // All four places are there again.
    let again = (0..5).map(|_| client.get("/hold"));
    let full = async {
        penstock.until_load("chat", 4, 1).await;
        worker
            .until("all four are here", |seen| seen.current == 4)
            .await;
        worker.release_all();
    };
    tokio::join!(futures_util::future::join_all(again), full);
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back_in_time() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let config = format!(
        r#"
        [services.chat]
        timeouts = {{ idle = "3s" }}
        {}
        "#,
        fixed(worker.address, "max_concurrency = 1")
    );
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("chat");
    for (number, client) in [client.clone(), client.h2()].into_iter().enumerate() {
        let _reads_nothing = client.send(Method::GET, "/events", empty()).await;
        // More than all buffers on the way hold.
        let large = "x".repeat(1_000_000);
        for _ in 0..64 {
            worker.send_event(&large);
        }
        worker
            .until("the request is given up", |seen| seen.aborted == number + 1)
            .await;
        penstock.until_load("chat", 0, 0).await;
        assert_eq!(client.get("/").await.status, 200);
    }
}
