//! What `penstock status` says of a service besides its load.

use futures_util::future::join_all;
use http::Method;

use crate::support::{
    client::empty,
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

#[tokio::test]
async fn classes_that_wait_and_copies_are_shown_where_a_service_has_them() {
    let (stable, next) = (FakeWorker::start().await, FakeWorker::start().await);
    stable.on("/held", Behaviour::Hold);
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat]
        queue = {{ classes = {{ interactive = "0s", batch = "60s" }}, class_header = "x-class" }}
        mirror = {{ to = "next" }}
        [services.chat.deployments.stable]
        max_concurrency = 1
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.next]
        takes_traffic = false
        ramp = false
        static = {{ addresses = ["{}"] }}
        [services.plain.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        stable.address, next.address, next.address
    ))
    .await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let ask = |path: &'static str, class: &'static str| {
        let client = client.clone();
        tokio::spawn(async move {
            let headers = [("x-class", class)];
            let exchange = client.send_with(Method::GET, path, &headers, empty());
            exchange.await.whole().await
        })
    };
    let mut asked = vec![ask("/held", "batch")];
    penstock.until_load("chat", 1, 0).await;
    asked.extend(["interactive", "batch", "batch", "unknown"].map(|class| ask("/", class)));
    let text = until(&penstock, "queued by class: 2 batch, 1 interactive").await;
    let mirror = "mirror to next (100 %): 0 in flight, 1 sent, 0 dropped\n";
    let text = if text.contains(mirror) {
        text
    } else {
        until(&penstock, mirror).await
    };
    for once in ["queued by class", "mirror to"] {
        assert_eq!(text.matches(once).count(), 1, "of one service only: {text}");
    }
    stable.release_all();
    for reply in join_all(asked).await {
        assert_eq!(reply.unwrap().status, 200);
    }
    until(&penstock, "queued by class: 0 batch, 0 interactive").await;
    let compared = "5 sent, 0 dropped; 0 of 5 answers have another status";
    until(&penstock, compared).await;
}

/// Waits until the status contains this; gives it.
async fn until(penstock: &Penstock, words: &str) -> String {
    eventually(words, async || {
        let text = penstock.command(&["status"]).await;
        text.contains(words).then_some(text)
    })
    .await
}
