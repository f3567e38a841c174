//! More connections than there are places for.

use crate::support::{
    client::RawConnection,
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

async fn start(limits: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let config = format!(
        r#"
        gateway.threads = 1
        gateway.limits = {{ {limits}, header_timeout = "10m", idle_timeout = "10m" }}
        [services.chat.deployments.main]
        ramp = false
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    (worker, penstock)
}

async fn shed(penstock: &Penstock, reason: &str) -> f64 {
    let page = penstock.metrics().await;
    page.sum("penstock_connections_shed_total", &[("reason", reason)])
}

#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let (_worker, penstock) =
        start("max_connections = 10, max_connections_per_address = 1000").await;
    let mut idle = Vec::new();
    for turn in 0..30 {
        let mut connection = RawConnection::open(penstock.address).await;
        // Some have begun a head.
        connection.write(&b"GET / HT"[..turn % 8]).await;
        idle.push(connection);
        assert_eq!(
            penstock.client("chat").get("/").await.text(),
            "ok",
            "{turn}"
        );
    }
    assert!(shed(&penstock, "idlest").await >= 20.0);
    assert_eq!(shed(&penstock, "full").await, 0.0);
    penstock
        .until("at most ten are open", |page| {
            page.sum("penstock_connections", &[]) <= 10.0
        })
        .await;
    let closed = idle
        .iter()
        .filter(|connection| connection.is_closed())
        .count();
    assert!(closed >= 20, "{closed}");
    assert!(
        !idle[29].is_closed(),
        "the last one has been idle for the shortest time"
    );
}

#[tokio::test]
async fn who_has_a_request_stays_and_a_newcomer_is_refused() {
    let (worker, penstock) = start("max_connections = 3, max_connections_per_address = 1000").await;
    let held = "GET /hold HTTP/1.1\r\nhost: chat.local.localhost\r\n\r\n";
    let mut busy = Vec::new();
    for _ in 0..3 {
        let mut connection = RawConnection::open(penstock.address).await;
        connection.write(held).await;
        busy.push(connection);
    }
    penstock.until_load("chat", 3, 0).await;
    let mut fourth = RawConnection::open(penstock.address).await;
    assert_eq!(fourth.read_to_end().await, "");
    assert_eq!(shed(&penstock, "full").await, 1.0);
    eventually("the log says so", async || {
        penstock.log().contains("connections refused").then_some(())
    })
    .await;
    assert!(busy.iter().all(|connection| !connection.is_closed()));
    assert_eq!(worker.seen().started, 3);
    drop(busy);
    penstock.until_load("chat", 0, 0).await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
}

#[tokio::test]
async fn one_address_has_only_its_share() {
    let (_worker, penstock) = start("max_connections = 100, max_connections_per_address = 5").await;
    let mut own = Vec::new();
    for _ in 0..5 {
        own.push(RawConnection::open(penstock.address).await);
    }
    penstock
        .until("five connections", |page| {
            page.sum("penstock_connections", &[]) == 5.0
        })
        .await;
    let mut sixth = RawConnection::open(penstock.address).await;
    assert_eq!(sixth.read_to_end().await, "");
    assert_eq!(shed(&penstock, "per_address").await, 1.0);
    assert!(own.iter().all(|connection| !connection.is_closed()));
    drop(own);
    penstock
        .until("no connection", |page| {
            page.sum("penstock_connections", &[]) == 0.0
        })
        .await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
}
