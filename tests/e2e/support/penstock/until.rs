//! What the metrics page says, and waiting until it says what a test wants.

use super::Penstock;
use crate::support::{eventually, metrics::Metrics};

impl Penstock {
    /// Waits until the gateway goes by these weights of `chat`.
    pub(crate) async fn until_weights(&self, wanted: &[(&str, u32)]) {
        self.until(&format!("weights of {wanted:?}"), |metrics| {
            wanted.iter().all(|(deployment, weight)| {
                let labels = [("service", "chat"), ("deployment", *deployment)];
                metrics.sum("penstock_deployment_weight", &labels) == f64::from(*weight)
            })
        })
        .await;
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let page = self.admin().get("/metrics").await;
        assert_eq!(page.status, 200);
        Metrics::parse(page.text())
    }

    /// Waits until the metrics are as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        eventually(what, async || {
            let metrics = self.metrics().await;
            wanted(&metrics).then_some(metrics)
        })
        .await
    }

    /// Waits until so many requests of the service are in flight and so many queued.
    pub(crate) async fn until_load(&self, service: &str, in_flight: usize, queued: usize) {
        let what = format!("{service}: {in_flight} in flight, {queued} queued");
        let labels = [("service", service)];
        self.until(&what, |metrics| {
            metrics.sum("penstock_in_flight", &labels) == in_flight as f64
                && metrics.sum("penstock_queued", &labels) == queued as f64
        })
        .await;
    }

    /// Waits until so many workers of the service are ready.
    pub(crate) async fn until_ready(&self, service: &str, workers: usize) {
        let labels = [("service", service), ("state", "ready")];
        self.until(&format!("{service}: {workers} workers ready"), |metrics| {
            metrics.sum("penstock_workers", &labels) == workers as f64
        })
        .await;
    }

    /// Waits until the gateway itself knows so many workers of the service.
    pub(crate) async fn until_known(&self, service: &str, workers: usize) {
        self.until(
            &format!("{service}: {workers} workers known to the gateway"),
            |metrics| metrics.count("penstock_in_flight", &[("service", service)]) == workers,
        )
        .await;
    }

    /// Waits until control wants so many workers of the service.
    pub(crate) async fn until_desired(&self, service: &str, workers: usize) {
        self.until(
            &format!("{service}: {workers} workers desired"),
            |metrics| {
                metrics.sum("penstock_desired_workers", &[("service", service)]) == workers as f64
            },
        )
        .await;
    }

    /// Waits until no worker of the service is left in any state.
    pub(crate) async fn until_no_worker(&self, service: &str) {
        self.until(&format!("{service}: no worker"), |metrics| {
            metrics.sum("penstock_workers", &[("service", service)]) == 0.0
        })
        .await;
    }
}
