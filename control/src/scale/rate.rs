//! How many requests come in a second.

/// An average that forgets exponentially.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Seconds.
    memory: f64,
    rate: f64,
    /// Sum of the weights: less than 1 at first, so that the average is right from the beginning.
    weight: f64,
}

impl Rate {
    /// What is `memory` seconds old counts for 1/e.
    pub(super) fn new(memory: f64) -> Self {
        Self {
            memory,
            rate: 0.0,
            weight: 0.0,
        }
    }

    /// Takes in `count` requests in the last `over` seconds, more than zero.
    pub(super) fn record(&mut self, count: u64, over: f64) {
        let kept = (-over / self.memory).exp();
        self.rate = self.rate * kept + count as f64 / over * (1.0 - kept);
        self.weight = self.weight * kept + 1.0 - kept;
    }

    /// Requests per second; 0 before anything was recorded.
    pub(super) fn per_second(&self) -> f64 {
        if self.weight > 0.0 {
            self.rate / self.weight
        } else {
            0.0
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.memory);
    }
}
