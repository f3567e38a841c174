//! Counts what passes between two looks.

use std::time::Duration;

use penstock_config::fleet::TimeHistogram;

use super::fleet::{Fleet, Life};
use penstock_control::scale::Load;

/// Sums since the last [`take`](Meter::take).
#[derive(Debug, Default)]
pub(super) struct Meter {
    from: Duration,
    to: Duration,
    request_seconds: f64,
    in_flight_seconds: f64,
    arrivals: u64,
    no_capacity: u64,
    served: u64,
    refused: u64,
    waits: TimeHistogram,
}

impl Meter {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            from: now,
            to: now,
            ..Self::default()
        }
    }

    /// Time passes up to `now` with the fleet as it is.
    pub(super) fn pass(&mut self, fleet: &Fleet, now: Duration) {
        let dt = now.saturating_sub(self.to).as_secs_f64();
        self.to = now;
        if dt > 0.0 {
            let in_flight = f64::from(fleet.in_flight.saturating_sub(fleet.in_flight_leaving()));
            self.in_flight_seconds += in_flight * dt;
            self.request_seconds += (in_flight + fleet.queued() as f64) * dt;
        }
    }

    /// A request came; `found_room`: whether it need not wait.
    pub(super) fn arrived(&mut self, found_room: bool) {
        self.arrivals += 1;
        self.no_capacity += u64::from(!found_room);
    }

    /// A request got a worker. As in the gateway only those that waited count.
    pub(super) fn waited(&mut self, wait: Duration) {
        if !wait.is_zero() {
            self.waits.counts[TimeHistogram::bucket(wait)] += 1;
        }
    }

    pub(super) fn served(&mut self) {
        self.served += 1;
    }

    pub(super) fn refused(&mut self, count: u64) {
        self.refused += count;
    }

    /// What passed since the last time.
    pub(super) fn take(&mut self) -> Load {
        let over = self.to - self.from;
        let load = Load {
            over,
            request_seconds: self.request_seconds,
            in_flight_seconds: self.in_flight_seconds,
            arrivals: self.arrivals,
            waits: self.waits,
            arrival_rate: if over.is_zero() {
                0.0
            } else {
                self.arrivals as f64 / over.as_secs_f64()
            },
            no_capacity: self.no_capacity,
            woken: false,
            completions: self.served + self.refused,
            served: self.served,
        };
        *self = Self::new(self.to);
        load
    }
}

/// Worker-seconds of a whole run.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Costs {
    /// Seconds that workers were there, from their start until they were gone.
    pub(super) worker_seconds: f64,
    /// Of these, seconds in which a worker had no request.
    pub(super) idle_seconds: f64,
}

impl Costs {
    /// `dt` seconds pass with the fleet as it is.
    pub(super) fn pass(&mut self, fleet: &Fleet, dt: f64) {
        self.worker_seconds += fleet.workers.len() as f64 * dt;
        let idle = fleet
            .workers
            .iter()
            .filter(|worker| worker.in_flight == 0 || matches!(worker.life, Life::Starting { .. }));
        self.idle_seconds += idle.count() as f64 * dt;
    }
}
