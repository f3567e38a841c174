//! What the gateway does to a request and its answer on the way.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Version, header::TRANSFER_ENCODING};
use http_body_util::BodyExt;
use hyper::body::Frame;

use crate::support::{
    client::{RawConnection, by_pieces, empty, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

async fn start(protocol: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    let settings = format!("protocol = \"{protocol}\"");
    let penstock = Penstock::before(worker.address, &settings).await;
    (worker, penstock)
}

#[tokio::test]
async fn bodies_pass_piece_by_piece_in_both_directions() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        worker.on("/echo", Behaviour::Echo);
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            let (mut pieces, body) = by_pieces();
            let mut exchange = client.send(Method::POST, "/echo", body).await;
            for piece in ["first", "second", "third"] {
                pieces.send_data(Bytes::from(piece)).await.unwrap();
                let frame = soon("the piece", exchange.response.frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), piece);
            }
        }
    }
}

#[tokio::test]
async fn large_bodies_come_back_whole() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        worker.on("/echo", Behaviour::Echo);
        let client = penstock.client("chat");
        let large: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
        for client in [client.clone(), client.h2()] {
            assert!(client.post("/echo", large.clone()).await.body == large);
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_reaches_the_worker_whatever_the_method() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        worker.on("/echo", Behaviour::Echo);
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            for method in [Method::GET, Method::DELETE, Method::POST] {
                let (mut pieces, body) = by_pieces();
                // hyper's own client sends a GET's body only when told how.
                let mut request = client.request(method, "/echo", body);
                if request.version() == Version::HTTP_11 {
                    let chunked = HeaderValue::from_static("chunked");
                    request.headers_mut().insert(TRANSFER_ENCODING, chunked);
                }
                pieces.send_data("query".into()).await.unwrap();
                drop(pieces);
                let answer = client.try_send(request).await.unwrap().whole().await;
                assert_eq!(answer.text(), "query", "{protocol}");
            }
        }
    }
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_stop_others_that_share_their_connection_to_a_worker() {
    let (worker, penstock) = start("h2").await;
    worker.on("/echo", Behaviour::Echo);
    let client = penstock.client("chat").h2();
    let large = Bytes::from(vec![0; 10_000_000]);
    let mut unread = Vec::new();
    for _ in 0..30 {
        unread.push(
            client
                .send(Method::POST, "/echo", full(large.clone()))
                .await,
        );
    }
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (worker, penstock) = start("h2").await;
    worker.on("/echo", Behaviour::Echo);
    let (mut pieces, body) = by_pieces();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
    let client = penstock.client("chat").h2();
    let upload = async {
        pieces.send_data("data".into()).await.unwrap();
        pieces
            .send(Frame::trailers(trailers.clone()))
            .await
            .unwrap();
        drop(pieces);
    };
    let (exchange, ()) = tokio::join!(client.send(Method::POST, "/echo", body), upload);
    let reply = exchange.whole().await;
    assert_eq!(reply.text(), "data");
    assert_eq!(reply.trailers, Some(trailers));
}

#[tokio::test]
async fn the_worker_learns_who_asked_and_nothing_that_was_for_the_gateway() {
    let (worker, penstock) = start("http1").await;
    let client = penstock.client("chat");
    let headers = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=6.6.6.6"),
        ("connection", "keep-alive, x-secret"),
        ("x-secret", "for the gateway only"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "for the gateway only"),
        ("x-kept", "one"),
        ("x-kept", "two"),
    ];
    client
        .send_with(Method::GET, "/a%20b?c=d", &headers, empty())
        .await
        .whole()
        .await;
    let head = worker.heads().remove(0);
    assert_eq!(
        (head.method.as_str(), head.path.as_str()),
        ("GET", "/a%20b")
    );
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.header("host"), client.host);
    assert_eq!(head.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(head.header("x-forwarded-proto"), "http");
    assert_eq!(head.header("x-forwarded-host"), client.host);
    assert!(!head.header("forwarded").contains("6.6.6.6"));
    assert!(!head.header("x-request-id").is_empty());
    assert_eq!(head.header("x-kept"), "one, two");
    for gone in ["x-secret", "keep-alive", "proxy-authorization"] {
        assert_eq!(head.header(gone), "", "{gone}");
    }
}

#[tokio::test]
async fn answers_without_a_body_stay_without() {
    let (worker, penstock) = start("http1").await;
    worker
        .on("/204", empty_answer(204))
        .on("/304", empty_answer(304))
        .on("/head", empty_answer(200));
    let mut client = RawConnection::open(penstock.address).await;
    // On one connection: a byte too many or too few would spoil the next answer.
    for (method, path, status) in [
        ("GET", "/204", 204),
        ("HEAD", "/head", 200),
        ("GET", "/304", 304),
        ("GET", "/204", 204),
    ] {
        let host = "host: chat.local.localhost";
        client
            .write(format!("{method} {path} HTTP/1.1\r\n{host}\r\n\r\n"))
            .await;
        let head = client.read_until("\r\n\r\n").await.to_lowercase();
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{method} {path}: {head}"
        );
        assert_eq!(
            head.contains("content-length: 1234"),
            method == "HEAD",
            "{head}"
        );
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

/// An answer whose head may tell a length, but that has no body.
fn empty_answer(status: u16) -> Behaviour {
    Behaviour::custom(move |_| async move {
        let response = Response::builder().status(status);
        let response = if status == 200 {
            response.header("content-length", "1234")
        } else {
            response
        };
        response.body(empty()).unwrap()
    })
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let (worker, penstock) = start("http1").await;
    worker.on("/echo", Behaviour::Echo);
    let mut client = RawConnection::open(penstock.address).await;
    client
        .write(
            "POST /echo HTTP/1.1\r\nhost: chat.local.localhost\r\ncontent-length: 5\r\n\
             expect: 100-continue\r\n\r\n",
        )
        .await;
    assert_eq!(
        client.read_until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write("hello").await;
    assert!(client.read_until("hello").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (worker, penstock) = start("http1").await;
    worker
        .on("/1", Behaviour::Answer(200, "one"))
        .on("/2", Behaviour::Answer(200, "two"));
    let mut client = RawConnection::open(penstock.address).await;
    let host = "host: chat.local.localhost\r\n";
    client
        .write(format!(
            "GET /1 HTTP/1.1\r\n{host}\r\nGET /2 HTTP/1.1\r\n{host}connection: close\r\n\r\n"
        ))
        .await;
    let answers = client.read_to_end().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert!(answers.find("one") < answers.find("two"), "{answers}");
}

#[tokio::test]
async fn a_worker_that_breaks_off_is_answered_for() {
    let (worker, penstock) = start("http1").await;
    worker.on("/reset", Behaviour::Reset);
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let answer = client
            .send(Method::POST, "/reset", full("x"))
            .await
            .whole()
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (502, "upstream_reset")
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
        penstock.until_load("chat", 0, 0).await;
    }
    assert_eq!(worker.seen().started, 2, "a POST is sent once");
}

#[tokio::test]
async fn connections_to_workers_are_used_again() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        let client = penstock.client("chat");
        let mut connection = client.connect().await.unwrap();
        for _ in 0..50 {
            let response = connection
                .send(client.request(Method::GET, "/", empty()))
                .await
                .unwrap();
            response.into_body().collect().await.unwrap();
        }
        assert_eq!(
            (worker.seen().started, worker.seen().connections),
            (50, 1),
            "{protocol}"
        );
    }
}
