//! What balancing remembers about one worker.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::{Gate, Grown, Ramp, latency::Latency, strikes::Strikes};

/// What a failure counts for in the latency, however fast it came; linkerd's penalty.
const FAILURE_TAKES: Duration = Duration::from_secs(5);

/// The state of one worker that outlives changes of the fleet: keep it, behind an `Arc`, for as long
/// as the worker's identity exists.
///
/// It fills 128 bytes (x86 fetches two adjacent lines of 64 together, and some arm64 cores have lines
/// of 128), so that threads counting on different workers do not disturb each other.
#[derive(Debug)]
#[repr(align(128))]
pub struct Vitals {
    gate: Gate,
    ramp: Ramp,
    latency: Latency,
    strikes: Strikes,
    /// Failures since the last good answer.
    failures: AtomicU32,
}

impl Vitals {
    /// A worker with nothing in flight. `max` is its `max_concurrency`, `None` for no limit;
    /// `gentle` fills it gently (see [`Ramp`]).
    pub fn new(max: Option<u32>, gentle: bool) -> Self {
        let (ramp, gate) = Ramp::new(max, gentle);
        Self {
            gate,
            ramp,
            latency: Latency::new(),
            strikes: Strikes::default(),
            failures: AtomicU32::new(0),
        }
    }

    /// Admission and the count of requests in flight. Its limit belongs to the ramp: set it by
    /// [`set_max`](Self::set_max).
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The gentle filling.
    pub fn ramp(&self) -> &Ramp {
        &self.ramp
    }

    /// Takes a new `max_concurrency`; a ramp under way goes on. True when the limit grew.
    pub fn set_max(&self, max: Option<u32>) -> bool {
        self.ramp.set_max(&self.gate, max)
    }

    /// Notes that the worker got a request. If it is fresh and that was its first: when to
    /// [`grow`](Self::grow) what it may take.
    pub fn requested(&self, now: impl FnOnce() -> Duration) -> Option<Duration> {
        self.ramp.requested(&self.gate, now)
    }

    /// Notes that the worker answered a request well. It may take more from then on if it is fresh.
    pub fn answered(&self, now: Duration) -> Grown {
        self.ramp.answered(&self.gate, now)
    }

    /// Lets a fresh worker take more if it has had long enough to get warm.
    pub fn grow(&self, now: Duration) -> Grown {
        self.ramp.grow(&self.gate, now)
    }

    /// Notes for later picks that a request ended well and took this long. Measure the same for every
    /// request of a deployment; for streams the time to the first byte, because their length is the
    /// client's choice and not the worker's fault.
    pub fn succeeded(&self, took: Duration, now: Duration) {
        self.began(took, now);
        self.recovered(now);
    }

    /// The first half of [`succeeded`](Self::succeeded), for a request whose answer took this long to
    /// begin but whose end will tell whether it was a good one.
    pub fn began(&self, took: Duration, now: Duration) {
        self.latency.observe(took, now);
    }

    /// The second half of [`succeeded`](Self::succeeded).
    pub fn recovered(&self, now: Duration) {
        self.strikes.succeeded(now);
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Notes for later picks that the worker failed a request: however fast it did, it now seems
    /// loaded. Returns how many it failed in a row, for the [`Ejector`](crate::Ejector).
    ///
    /// A request that the client gave up is neither a success nor a failure.
    pub fn failed(&self, now: Duration) -> u32 {
        self.refused(now);
        self.failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Notes for later picks that the worker refused a request because it has too much to do. It
    /// seems loaded then, as after a failure, but this is no sign that it does not work.
    pub fn refused(&self, now: Duration) {
        self.latency.observe(FAILURE_TAKES, now);
        self.strikes.failed(now);
    }

    /// Failures since the last good answer.
    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    pub(crate) fn set_failures(&self, count: u32) {
        self.failures.store(count, Relaxed);
    }

    /// The cost of one more request when only the number of requests counts.
    pub(crate) fn load(&self, in_flight: u32, now: Duration) -> f64 {
        (f64::from(in_flight) + 1.0) * self.strikes.factor(now)
    }

    /// The cost of one more request when the worker's latency counts too.
    pub(crate) fn delay(&self, in_flight: u32, now: Duration) -> f64 {
        self.latency.cost(in_flight, now) * self.strikes.factor(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_counted_until_a_good_answer() {
        let (vitals, now) = (Vitals::new(None, false), Duration::ZERO);
        assert_eq!((vitals.failed(now), vitals.failed(now)), (1, 2));
        vitals.succeeded(Duration::ZERO, now);
        assert_eq!(vitals.failures(), 0);
    }

    #[test]
    fn a_refusal_makes_a_worker_seem_loaded_and_is_no_failure() {
        let (vitals, now) = (Vitals::new(None, false), Duration::ZERO);
        vitals.refused(now);
        assert_eq!((vitals.failures(), vitals.load(0, now)), (0, 2.0));
        vitals.failed(now);
        vitals.began(Duration::ZERO, now);
        assert_eq!(vitals.failures(), 1, "an answer that began may still fail");
        vitals.recovered(now);
        assert_eq!(vitals.failures(), 0);
    }

    #[test]
    fn a_worker_has_cache_lines_of_its_own() {
        assert_eq!((align_of::<Vitals>(), size_of::<Vitals>()), (128, 128));
    }
}
