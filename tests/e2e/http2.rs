//! HTTP/2 on both sides: streams that are taken back, that nobody reads, and that share a connection.

mod abuse;
mod messages;
pub(crate) mod raw;
mod slow;
mod uploads;

use crate::support::{h2_worker::H2Worker, penstock::Penstock};

/// The service `chat` before this worker.
async fn before(worker: &H2Worker, settings: &str) -> Penstock {
    let penstock = Penstock::start(&format!(
        r#"
        # So that all connections share those to the worker.
        gateway.threads = 1
        [services.chat]
        protocol = "h2"
        {settings}
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    ))
    .await;
    penstock.until_known("chat", 1).await;
    penstock
}
