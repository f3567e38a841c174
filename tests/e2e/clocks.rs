//! The clocks of a request while bodies stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, interval};

use crate::support::{
    client::{BoxError, by_pieces, empty},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
    unreachable::Unreachable,
};

const LIMIT: Duration = Duration::from_millis(500);

/// The pause between two pieces, well below the limit.
const PAUSE: Duration = Duration::from_millis(50);

async fn start(protocol: &str, timeout: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    let settings = format!(
        r#"
        protocol = "{protocol}"
        timeouts = {{ {timeout} = "{LIMIT:?}" }}
        "#
    );
    let penstock = Penstock::before(worker.address, &settings).await;
    (worker, penstock)
}

#[tokio::test]
async fn a_body_that_never_pauses_is_cut_off_when_its_time_is_over() {
    let (worker, penstock) = start("http1", "total").await;
    let endless = Behaviour::custom(|_| async {
        let piece = Bytes::from(vec![0; 1 << 16]);
        let pieces = stream::repeat(piece).map(|piece| Ok::<_, BoxError>(Frame::data(piece)));
        Response::new(BodyExt::boxed(StreamBody::new(pieces)))
    });
    worker.on("/endless", endless);
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let mut exchange = client.send(Method::GET, "/endless", empty()).await;
        let cut = async { while let Some(Ok(_)) = exchange.response.frame().await {} };
        soon("the answer is cut off", cut).await;
    }
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn a_client_that_only_listens_for_long_may_go_on_sending() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol, "idle").await;
        worker.on("/events", Behaviour::Events);
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            let (mut pieces, body) = by_pieces();
            let mut exchange = client.send(Method::POST, "/events", body).await;
            let mut pace = interval(PAUSE);
            let begun = Instant::now();
            while begun.elapsed() < 3 * LIMIT {
                pace.tick().await;
                assert_ne!(worker.send_event("still here"), 0);
                let frame = soon("the event", exchange.response.frame()).await;
                assert!(frame.is_some_and(|frame| frame.is_ok()), "{protocol}");
            }
            pieces.send_data("and now".into()).await.unwrap();
            drop((exchange, pieces));
            penstock.until_load("chat", 0, 0).await;
        }
    }
}

#[tokio::test]
async fn a_worker_that_only_listens_for_long_may_still_answer() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol, "idle").await;
        let listener = Behaviour::custom(|request| async {
            let (mut answer, body) = by_pieces();
            tokio::spawn(async move {
                if let Ok(heard) = request.into_body().collect().await {
                    let length = heard.to_bytes().len().to_string();
                    let _ = answer.send_data(length.into()).await;
                }
            });
            Response::new(body)
        });
        worker.on("/listen", listener);
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            let (mut pieces, body) = by_pieces();
            let exchange = client.send(Method::POST, "/listen", body).await;
            let mut pace = interval(PAUSE);
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < 3 * LIMIT {
                pace.tick().await;
                pieces.send_data("x".into()).await.unwrap();
                sent += 1;
            }
            drop(pieces);
            assert_eq!(exchange.whole().await.text(), sent.to_string());
        }
    }
}

#[tokio::test]
async fn a_worker_that_does_not_let_itself_be_connected_to_is_given_up() {
    let worker = Unreachable::new().await;
    let settings = r#"timeouts = { connect = "200ms", first_byte = "1h" }"#;
    let penstock = Penstock::before(worker.address, settings).await;
    let reply = penstock.client("chat").get("/").await;
    assert_eq!(
        (reply.status.as_u16(), reply.reason()),
        (502, "connect_failed")
    );
    penstock.until_load("chat", 0, 0).await;
}
