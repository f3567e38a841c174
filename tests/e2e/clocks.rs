//! The clocks of a request while bodies stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, interval};

use crate::support::{
    client::{BoxError, Client, by_pieces, empty},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
    unreachable::Unreachable,
};

/// How long a side may be silent. The other one has to talk for longer, with pauses that stay below it
/// also on a machine that stands still for a while.
const IDLE: Duration = Duration::from_secs(5);

/// The pause between two pieces.
const PAUSE: Duration = Duration::from_millis(50);

/// For how long one side only listens.
const LISTENS: Duration = Duration::from_secs(7);

async fn start(protocol: &str, timeouts: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    let settings = format!(
        r#"
        protocol = "{protocol}"
        timeouts = {{ {timeouts} }}
        "#
    );
    let penstock = Penstock::before(worker.address, &settings).await;
    (worker, penstock)
}

#[tokio::test]
async fn a_body_that_never_pauses_is_cut_off_when_its_time_is_over() {
    let (worker, penstock) = start("http1", r#"total = "500ms""#).await;
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

/// A service for each protocol to workers, asked in both protocols of clients, all at the same time.
async fn for_long(path: &str, behaviour: Behaviour, talk: impl AsyncFn(&FakeWorker, Client)) {
    let idle = format!("idle = \"{IDLE:?}\"");
    let services = ["http1", "h2"].map(async |protocol| {
        let (worker, penstock) = start(protocol, &idle).await;
        worker.on(path, behaviour.clone());
        let client = penstock.client("chat");
        join(talk(&worker, client.clone()), talk(&worker, client.h2())).await;
        penstock.until_load("chat", 0, 0).await;
    });
    join_all(services).await;
}

#[tokio::test]
async fn a_client_that_only_listens_for_long_may_go_on_sending() {
    for_long("/events", Behaviour::Events, async |worker, client| {
        let (mut pieces, body) = by_pieces();
        let mut exchange = client.send(Method::POST, "/events", body).await;
        let mut pace = interval(PAUSE);
        let begun = Instant::now();
        while begun.elapsed() < LISTENS {
            pace.tick().await;
            assert_ne!(worker.send_event("still here"), 0);
            let frame = soon("the event", exchange.response.frame()).await;
            assert!(frame.is_some_and(|frame| frame.is_ok()));
        }
        pieces.send_data("and now".into()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_only_listens_for_long_may_still_answer() {
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
    for_long("/listen", listener, async |_, client| {
        let (mut pieces, body) = by_pieces();
        let exchange = client.send(Method::POST, "/listen", body).await;
        let mut pace = interval(PAUSE);
        let begun = Instant::now();
        let mut sent = 0;
        while begun.elapsed() < LISTENS {
            pace.tick().await;
            pieces.send_data("x".into()).await.unwrap();
            sent += 1;
        }
        drop(pieces);
        assert_eq!(exchange.whole().await.text(), sent.to_string());
    })
    .await;
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
