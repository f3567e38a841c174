//! Reads what workers tell of themselves on their Prometheus pages, for rules that ask for it.
//!
//! Only workers that are ready are asked, and only those of deployments with such a rule. A worker is
//! asked for one page at a time, all workers not at once, and whatever a page holds costs no more than
//! its bounds: time, bytes, and the few names that are looked for. What counts of it, and for how long,
//! says the [core](crate::core); `scrape/page.rs` reads.

mod line;
mod page;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use penstock_config::fleet::WorkerId;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use self::page::Reader;
use crate::{
    core::{Sample, ScrapeEvent, ScrapeSpec},
    worker_http::{Get, shown},
};

/// Workers that become ready together, as after a restart of control, are asked within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

impl ScrapeSpec {
    /// Asks once. A sample for each metric in their order, `None` where the page has none.
    async fn ask(&self, address: SocketAddr) -> Result<Vec<Option<Sample>>, String> {
        let limit = self.page.timeout;
        let asked = timeout(limit, self.ask_without_limit(address)).await;
        asked.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            Err(format!("not all of the page came within {limit}"))
        })
    }

    async fn ask_without_limit(&self, address: SocketAddr) -> Result<Vec<Option<Sample>>, String> {
        let get = Get {
            address,
            protocol: self.protocol,
            // Workers at given addresses have no rules that ask for metrics.
            tls: None,
            method: Method::GET,
            path: &self.page.path,
            headers: &self.headers,
            body: Default::default(),
            agent: "penstock-scrape",
        };
        let mut answer = get.send().await.map_err(|failure| failure.text)?;
        let status = answer.response.status();
        if status != StatusCode::OK {
            return Err(format!("HTTP status {}", status.as_u16()));
        }
        let mut reader = Reader::new(&self.metrics);
        while let Some(frame) = answer.response.body_mut().frame().await {
            if let Ok(bytes) = frame.map_err(shown)?.into_data() {
                reader.feed(&bytes)?;
            }
        }
        reader.finish()
    }

    /// When, since the beginning, a worker is asked for the `round`-th time, counted from 0. `share`,
    /// 0 to 1, is the worker's own, so that their times are spread over half an interval.
    fn due(&self, round: u32, share: f64) -> Duration {
        let interval = self.page.interval;
        match round {
            0 => FIRST_WITHIN.min(interval).mul_f64(share),
            round => interval * (round - 1) + interval.mul_f64(0.5 + share / 2.0),
        }
    }
}

/// Keeps reading a worker's page; ends it when dropped.
#[derive(Debug)]
pub(crate) struct ScrapeGuard(JoinHandle<()>);

impl Drop for ScrapeGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to read a worker's page. Events end with the guard.
pub(crate) fn watch(
    worker: WorkerId,
    address: SocketAddr,
    spec: Arc<ScrapeSpec>,
    events: mpsc::UnboundedSender<ScrapeEvent>,
) -> ScrapeGuard {
    ScrapeGuard(tokio::spawn(async move {
        let begin = Instant::now();
        let share = share_of(&worker);
        let mut round = 0;
        loop {
            sleep_until(begin + spec.due(round, share)).await;
            let event = ScrapeEvent {
                worker: worker.clone(),
                result: spec.ask(address).await,
                spec: Arc::clone(&spec),
            };
            if events.send(event).is_err() {
                // Control is ending.
                return;
            }
            // Never two at a time: what was missed meanwhile is left out.
            while begin + spec.due(round, share) <= Instant::now() {
                round += 1;
            }
        }
    }))
}

/// A number from 0 to 1 that is the worker's own.
fn share_of(worker: &WorkerId) -> f64 {
    let mut hasher = DefaultHasher::new();
    worker.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests;
