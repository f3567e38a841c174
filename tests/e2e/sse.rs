//! Server-sent events through the gateway.

use http::Method;
use http_body_util::BodyExt;

use crate::support::{
    client::{Events, empty},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

async fn start(protocol: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    worker
        .on("/events", Behaviour::Events)
        .on("/cut", Behaviour::CutOff);
    let settings = format!("protocol = \"{protocol}\"");
    let penstock = Penstock::before(worker.address, &settings).await;
    (worker, penstock)
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
            for number in 0..50 {
                assert_eq!(worker.send_event(&number.to_string()), 1);
                assert_eq!(events.next().await.unwrap(), number.to_string());
            }
            drop(events);
            worker
                .until("the stream's end", |seen| seen.current == 0)
                .await;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_else() {
    let (worker, penstock) = start("http1").await;
    let client = penstock.client("chat");
    let _slow = client.send(Method::GET, "/events", empty()).await;
    let mut quick = Events::new(client.send(Method::GET, "/events", empty()).await);
    let large = "x".repeat(100_000);
    for _ in 0..200 {
        assert_eq!(worker.send_event(&large), 2);
        assert_eq!(quick.next().await.unwrap().len(), large.len());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for protocol in ["http1", "h2"] {
        let (worker, penstock) = start(protocol).await;
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            let mut exchange = client.send(Method::GET, "/cut", empty()).await;
            assert_eq!(exchange.status(), 200);
            let beginning = exchange.response.frame().await.unwrap().unwrap();
            assert_eq!(beginning.into_data().unwrap(), "the beginning of");
            worker.release(1);
            assert!(
                exchange.try_whole().await.is_err(),
                "a broken answer looked whole"
            );
        }
        penstock.until_load("chat", 0, 0).await;
    }
}
