//! What came in over the last minute.

use std::time::Duration;

use crate::{scale::Load, window::Window};

/// Over which is averaged what people are told.
const LENGTH: Duration = Duration::from_secs(60);

/// Averages of one deployment, whatever its rules look at.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    concurrency: Window,
    arrivals: Window,
}

impl Default for Means {
    fn default() -> Self {
        Self {
            concurrency: Window::new(LENGTH),
            arrivals: Window::new(LENGTH),
        }
    }
}

impl Means {
    /// Takes in what happened.
    pub(crate) fn record(&mut self, load: &Load, now: Duration) {
        if load.over > Duration::ZERO {
            self.concurrency
                .record(load.request_seconds, load.over, now);
            self.arrivals.record(load.arrivals as f64, load.over, now);
        }
    }

    /// Requests in flight and queued; `None` before anything was measured.
    pub(crate) fn concurrency(&self) -> Option<f64> {
        self.concurrency.average()
    }

    /// Requests that came in a second; `None` before anything was measured.
    pub(crate) fn arrivals(&self) -> Option<f64> {
        self.arrivals.average()
    }
}
