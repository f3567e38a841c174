//! What charts show: how every deployment, and all of them together, did in the last minutes.
//!
//! Reports are added up into samples of two seconds, which are kept in a ring per deployment. That costs a
//! few additions per deployment and report, whether anybody looks or not, so that whoever opens the console
//! when something is wrong sees what came before.

mod entry;

use std::collections::{BTreeMap, HashMap};

use penstock_config::fleet::LoadReport;

use self::entry::{Entry, Gauges};
use crate::core::{Key, Metric};

/// How much time a sample covers.
pub const STEP_MS: u64 = 2_000;

/// Most samples of one deployment: half an hour.
pub const SAMPLES_MAX: usize = 900;

/// Fewest that are kept of each, however many deployments there are.
const SAMPLES_MIN: usize = 150;

/// Samples of all deployments together, about 25 MB. With more than 582 deployments each has fewer.
const SAMPLES_OF_ALL: usize = 1 << 19;

/// A gateway that has been silent for so long is gone.
const GATEWAY_GONE_MS: u64 = 10_000;

/// Two seconds of one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// When it began: milliseconds since 1970, divided by [`STEP_MS`].
    pub tick: u64,
    /// Requests that ended.
    pub requests: u32,
    /// Of these, those that got an error or were cut off.
    pub errors: u32,
    /// Requests on workers at its end.
    pub in_flight: u32,
    /// Requests waiting for a worker at its end.
    pub queued: u32,
    /// Workers there should be.
    pub desired: u32,
    /// Workers that took requests.
    pub ready: u32,
    /// What 95 % of the waits for a worker were below, in seconds; NaN where nobody waited.
    pub wait: f32,
    /// What half of the times from getting a worker to the head of its answer were below, in seconds; NaN
    /// where there was no answer.
    pub first_byte: f32,
    /// What 95 % of them were below.
    pub first_byte_p95: f32,
    /// What half of the times from getting a worker to the end of the answer were below.
    pub whole: f32,
}

/// A sample as a row of a table, which is sent with half an hour of others: see [`Sample::COLUMNS`].
pub type Row = (u64, u32, u32, u32, u32, u32, u32, f32, f32, f32, f32);

impl Sample {
    /// What is in a row.
    pub const COLUMNS: [&str; 11] = [
        "tick",
        "requests",
        "errors",
        "in_flight",
        "queued",
        "desired",
        "ready",
        "wait_p95",
        "first_byte_p50",
        "first_byte_p95",
        "whole_p50",
    ];

    /// The sample as a row.
    pub fn row(&self) -> Row {
        (
            self.tick,
            self.requests,
            self.errors,
            self.in_flight,
            self.queued,
            self.desired,
            self.ready,
            self.wait,
            self.first_byte,
            self.first_byte_p95,
            self.whole,
        )
    }
}

/// The samples of everything.
#[derive(Debug, Default)]
pub struct History {
    deployments: BTreeMap<Key, Entry>,
    all: Entry,
    /// When each gateway was heard last.
    gateways: HashMap<u64, u64>,
}

impl History {
    /// Takes in what a gateway says at this time (milliseconds since 1970).
    pub fn report(&mut self, report: &LoadReport, now_ms: u64) {
        let known = self.gateways.insert(report.gateway, now_ms).is_some();
        self.gateways
            .retain(|_, heard| now_ms.saturating_sub(*heard) < GATEWAY_GONE_MS);
        let tick = now_ms / STEP_MS;
        self.finish(tick);
        let keep = self.samples_of_each();
        for load in &report.deployments {
            let key = Key {
                service: load.service.clone(),
                deployment: load.deployment.clone(),
            };
            // One that control does not know is being removed.
            let Some(entry) = self.deployments.get_mut(&key) else {
                continue;
            };
            entry.roll(tick, keep);
            let gateways = &self.gateways;
            entry.keep_sources(|gateway| gateways.contains_key(&gateway));
            if let Some(news) = entry.take(report.gateway, load, known) {
                self.all.add(&news);
            }
        }
    }

    /// Finishes the sample of all together, as of what was said before.
    fn finish(&mut self, tick: u64) {
        if self.all.is_due(tick) {
            let entries = self.deployments.values();
            let sum = entries.fold(Gauges::default(), |sum, entry| sum.plus(entry.gauges()));
            self.all.set_gauges(sum);
            self.all.roll(tick, SAMPLES_MAX);
        }
    }

    /// Takes in what control says of a deployment.
    pub(crate) fn told(&mut self, key: &Key, metric: Metric) {
        let worth = matches!(metric, Metric::Workers(_) | Metric::Desired(_));
        if !worth {
            return;
        }
        if !self.deployments.contains_key(key) {
            self.deployments.insert(key.clone(), Entry::default());
        }
        if let Some(entry) = self.deployments.get_mut(key) {
            match metric {
                Metric::Workers([_, ready, ..]) => entry.ready(ready),
                Metric::Desired(desired) => entry.desired(desired),
                _ => {}
            }
        }
    }

    /// Forgets a deployment that is gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.deployments.remove(key);
    }

    /// The finished samples of one service's deployments from this tick on.
    pub fn of_service(&self, service: &str, from: u64) -> Vec<(String, Vec<Sample>)> {
        let mine = |(key, _): &(&Key, &Entry)| key.service.as_str() == service;
        let told = self.deployments.iter().filter(mine);
        told.map(|(key, entry)| (key.deployment.to_string(), entry.samples(from)))
            .collect()
    }

    /// The finished samples of everything together from this tick on.
    pub fn of_all(&self, from: u64) -> Vec<Sample> {
        self.all.samples(from)
    }

    /// The newest finished sample of every deployment, by its service and its name.
    pub fn newest(&self) -> impl Iterator<Item = (&Key, &Sample)> {
        let entries = self.deployments.iter();
        entries.filter_map(|(key, entry)| Some((key, entry.newest()?)))
    }

    fn samples_of_each(&self) -> usize {
        let each = SAMPLES_OF_ALL / self.deployments.len().max(1);
        each.clamp(SAMPLES_MIN, SAMPLES_MAX)
    }
}

#[cfg(test)]
mod tests;
