//! What no client should send: a clear refusal or a closed connection, no worker reached, nothing
//! left behind.

use http::{Method, Version};

use crate::support::{
    client::{Client, RawConnection, by_pieces, empty, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

async fn start() -> (FakeWorker, Penstock) {
    with_clocks(r#"header_timeout = "60s", idle_timeout = "60s""#).await
}

/// One that ends whoever is slow with a head, and after this time whoever does not begin one.
async fn impatient(idle: &str) -> (FakeWorker, Penstock) {
    with_clocks(&format!(
        r#"header_timeout = "2s", idle_timeout = "{idle}""#
    ))
    .await
}

async fn with_clocks(clocks: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    let config = format!(
        r#"
        gateway.limits = {{ {clocks}, max_header_bytes = "16KiB", max_headers = 50 }}
        [services.chat]
        max_body = "1KiB"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    (worker, penstock)
}

/// What comes back for these bytes until the gateway closes the connection.
async fn answer_to(penstock: &Penstock, bytes: impl AsRef<[u8]>) -> String {
    let mut client = RawConnection::open(penstock.address).await;
    client.write(bytes).await;
    client.read_to_end().await
}

/// Asserts that no request came as far as a worker and that nothing is left of any.
async fn assert_untouched(worker: &FakeWorker, penstock: &Penstock) {
    penstock.until_load("chat", 0, 0).await;
    assert_eq!(worker.seen().started, 0);
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
}

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const HOST: &str = "host: chat.local.localhost\r\n";

#[tokio::test]
async fn malformed_requests_are_refused() {
    let (worker, penstock) = start().await;
    for request in [
        format!(
            "GET / HTTP/1.1\r\n{HOST}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("POST / HTTP/1.1\r\n{HOST}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        format!("POST / HTTP/1.1\r\n{HOST}content-length: -3\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{HOST}content-length: 3x\r\n\r\nabc"),
        format!("POST / HTTP/1.1\r\n{HOST}transfer-encoding: gzip\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{HOST}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        format!("POST / HTTP/1.0\r\n{HOST}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}{HOST}\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}bad header: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}x-nul: a\0b\r\n\r\n"),
        format!("GET /a b HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET / HTTP/9.9\r\n{HOST}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}garbage\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage in place of settings".to_owned(),
    ] {
        let answer = answer_to(&penstock, &request).await;
        let refused = answer.starts_with("HTTP/1.1 4")
            || answer.starts_with("HTTP/1.1 501")
            || answer.starts_with("HTTP/1.1 505");
        assert!(
            refused || !answer.starts_with("HTTP"),
            "{request:?}\n{answer:?}"
        );
        assert!(!answer.contains("200 OK"), "{request:?}\n{answer:?}");
    }
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let (worker, penstock) = start().await;
    let long = "x".repeat(20_000);
    let many: String = (0..60).map(|number| format!("x-{number}: 1\r\n")).collect();
    for request in [
        format!("GET / HTTP/1.1\r\n{HOST}x-long: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}{many}\r\n"),
        format!("GET /{long} HTTP/1.1\r\n{HOST}\r\n"),
    ] {
        let answer = answer_to(&penstock, &request).await;
        let status = answer.get(9..12).unwrap_or("");
        assert!(["431", "414"].contains(&status), "{answer:?}");
    }
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn oversized_bodies_are_refused() {
    let (worker, penstock) = start().await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let told = client
            .send(Method::POST, "/", full(vec![0; 2000]))
            .await
            .whole()
            .await;
        assert_eq!(
            (told.status.as_u16(), told.reason()),
            (413, "body_too_large")
        );
        // Who is not told that the connection ends may send the next request into it.
        // Over HTTP/1.1 it goes on only where all of the body had come already.
        let goes_on = told.header("connection").is_empty();
        assert!(
            goes_on || told.version == Version::HTTP_11 && told.header("connection") == "close"
        );
    }
    assert_untouched(&worker, &penstock).await;

    // Without a length it only shows on the way.
    let (mut pieces, body) = by_pieces();
    let upload = client.try_send(client.request(Method::POST, "/", body));
    let pieces = async { while pieces.send_data(vec![0; 500].into()).await.is_ok() {} };
    let (answer, ()) = tokio::join!(upload, pieces);
    if let Ok(answer) = answer {
        assert!(
            answer.status() == 413 || answer.status() == 200,
            "{}",
            answer.status()
        );
    }
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_request_that_comes_too_slowly_is_ended() {
    let (worker, penstock) = impatient("2s").await;
    let half = answer_to(&penstock, format!("GET / HTTP/1.1\r\n{HOST}x-")).await;
    assert!(
        half.is_empty() || half.starts_with("HTTP/1.1 408"),
        "{half:?}"
    );
    let silent = answer_to(&penstock, "").await;
    assert!(
        silent.is_empty() || silent.starts_with("HTTP/1.1 408"),
        "{silent:?}"
    );

    // One byte now and then does not buy more time.
    let mut drip = RawConnection::open(penstock.address).await;
    drip.write(format!("GET / HTTP/1.1\r\n{HOST}")).await;
    let dripping = async {
        loop {
            drip.write("x").await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if drip.is_closed() {
                return;
            }
        }
    };
    crate::support::soon("a slow head is ended", dripping).await;
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn a_client_that_ends_in_the_middle_of_its_head_is_forgotten() {
    let (worker, penstock) = start().await;
    for bytes in ["", "GET", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut client = RawConnection::open(penstock.address).await;
        client.write(bytes).await;
        client.end().await;
        client.read_to_end().await;
    }
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn a_long_body_that_nobody_wants_does_not_cost_the_client_its_answer() {
    const LENGTH: usize = 20_000_000;
    let (worker, penstock) = start().await;
    // As many clients do, this one sends everything before it reads anything.
    let mut client = RawConnection::open(penstock.address).await;
    client
        .write(format!(
            "POST / HTTP/1.1\r\nhost: nowhere\r\ncontent-length: {LENGTH}\r\n\r\n"
        ))
        .await;
    client.write(vec![0; LENGTH]).await;
    let answer = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer:?}");
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn the_answer_to_a_head_has_no_body_in_either_version() {
    let (_worker, penstock) = start().await;
    let client = Client::new(penstock.address, "nowhere");
    for client in [client.clone(), client.h2()] {
        let answer = client.send(Method::HEAD, "/", empty()).await.whole().await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (404, "no_route"));
        assert_ne!(answer.header("content-length"), "0");
        assert!(answer.body.is_empty(), "{}", answer.text());
    }
}

#[tokio::test]
async fn half_a_head_over_http2_is_ended_like_one_over_http1() {
    let (worker, penstock) = impatient("1h").await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // HEADERS without END_HEADERS, whole and cut off; the beginning of any other frame.
    let halves: [&[u8]; 3] = [
        &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82],
        &[0, 0, 9, 1, 4, 0, 0, 0, 1, 0x82],
        &[0, 0, 8, 6],
    ];
    for half in halves {
        let mut client = RawConnection::open(penstock.address).await;
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.write(settings).await;
        client.write(half).await;
        client.read_to_end().await;
    }
    assert_untouched(&worker, &penstock).await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_long_on_the_way_is_refused() {
    let (worker, penstock) = start().await;
    worker.on("/read", Behaviour::Answer(200, "read"));
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        for (pieces_sent, told) in [(2, (200, "")), (3, (413, "body_too_large"))] {
            let (mut pieces, body) = by_pieces();
            let exchange = client.send(Method::POST, "/read", body);
            let send = async {
                for _ in 0..pieces_sent {
                    let _ = pieces.send_data(vec![0; 500].into()).await;
                }
                drop(pieces);
            };
            let (exchange, ()) = tokio::join!(exchange, send);
            let reply = exchange.whole().await;
            assert_eq!((reply.status.as_u16(), reply.reason()), told);
        }
    }
    penstock.until_load("chat", 0, 0).await;
    assert_eq!(worker.seen().finished, 2);
}

#[tokio::test]
async fn the_number_of_fields_is_limited_over_http2_too() {
    let (worker, penstock) = start().await;
    let client = penstock.client("chat").h2();
    let many = |name: &str, count: usize| -> Vec<(String, &str)> {
        (0..count).map(|at| (format!("{name}{at}"), "1")).collect()
    };
    let reply = async |fields: &[(String, &str)]| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (&**name, *value))
            .collect();
        let exchange = client.send_with(Method::GET, "/", &fields, empty()).await;
        exchange.whole().await
    };
    let refused = reply(&many("x-", 60)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.reason()),
        (431, "header_too_large")
    );
    assert!(!refused.header("x-request-id").is_empty());
    assert_untouched(&worker, &penstock).await;
    // Browsers send each part of a cookie by itself.
    let cookie = vec![("cookie".to_owned(), "a=b"); 60];
    assert_eq!(reply(&cookie).await.text(), "ok");
    assert_eq!(reply(&many("x-", 40)).await.text(), "ok");
}

#[tokio::test]
async fn as_many_fields_as_a_map_can_hold_are_refused_and_nothing_more() {
    let worker = FakeWorker::start().await;
    let config = format!(
        r#"
        gateway.limits = {{ max_header_bytes = "16MiB" }}
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    let names: Vec<_> = (0..24_570).map(|at| format!("x{at}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
    let client = penstock.client("chat").h2();
    let exchange = client.send_with(Method::GET, "/", &fields, empty()).await;
    assert_eq!(exchange.whole().await.reason(), "header_too_large");
    assert_untouched(&worker, &penstock).await;
    assert!(!penstock.log().contains("panicked"));
}

/// Pings, empty data, settings and resets cost a client nothing and the gateway something each.
#[tokio::test]
async fn a_flood_of_frames_without_content_is_cut_off() {
    let (worker, penstock) = start().await;
    let ping: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let update: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let priority: &[u8] = &[0, 0, 5, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1];
    for frame in [ping, update, priority, SETTINGS] {
        let mut client = RawConnection::open(penstock.address).await;
        let flood = [H2_PREFACE, SETTINGS, &frame.repeat(20_000)].concat();
        client.write(flood).await;
        client.read_to_end().await;
    }
    let flood = [("reason", "flood")];
    let page = penstock.metrics().await;
    assert_eq!(page.sum("penstock_connections_shed_total", &flood), 4.0);
    assert_untouched(&worker, &penstock).await;
}
