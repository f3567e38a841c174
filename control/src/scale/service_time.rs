//! How long requests take.

use std::time::Duration;

use super::observation::Load;

/// Averaged over so many windows: workers that become ready together end their requests together
/// for a while, and that must not look like long requests.
const WINDOWS: u32 = 10;

/// Longer means than this, in seconds, make no difference.
const LONGEST: f64 = 1e6;

/// Mean time a request spends on a worker: time spent there over requests answered, both forgotten
/// exponentially. A request that came to a worker and is not answered yet counts as half, which is
/// how far it is on average. Not counted at all, a fleet that just grew would seem to have longer
/// requests; counted in full, shorter ones.
#[derive(Debug, Clone)]
pub(super) struct ServiceTime {
    memory: f64,
    spent: f64,
    done: f64,
    in_flight: f64,
    mean: Option<f64>,
}

impl ServiceTime {
    pub(super) fn new(window: Duration) -> Self {
        let memory = (window * WINDOWS).as_secs_f64().max(1e-3);
        Self {
            memory,
            spent: 0.0,
            done: 0.0,
            in_flight: 0.0,
            mean: None,
        }
    }

    /// Takes in what happened; the mean in seconds, `None` before the first request ended.
    pub(super) fn update(&mut self, load: &Load) -> Option<f64> {
        let over = load.over.as_secs_f64();
        if over > 0.0 {
            let kept = (-over / self.memory).exp();
            let in_flight = load.in_flight_seconds / over;
            let more = in_flight - std::mem::replace(&mut self.in_flight, in_flight);
            self.spent = self.spent * kept + load.in_flight_seconds;
            self.done = self.done * kept + load.served as f64 + more / 2.0;
        }
        // With less than half a request left in memory the old mean says more.
        if (self.mean.is_some() || load.served > 0) && self.done >= 0.5 {
            self.mean = Some((self.spent / self.done).clamp(1e-6, LONGEST));
        }
        self.mean
    }

    /// The mean in seconds of requests none of which has ended yet: on average they are half-way.
    pub(super) fn so_far(&self) -> f64 {
        2.0 * self.spent / self.in_flight.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(in_flight: f64, served: u64) -> Load {
        Load {
            over: Duration::from_secs(1),
            in_flight_seconds: in_flight,
            served,
            ..Load::default()
        }
    }

    #[test]
    fn in_steady_state_it_is_littles_law() {
        let mut time = ServiceTime::new(Duration::from_secs(60));
        let mut mean = None;
        for _ in 0..2000 {
            mean = time.update(&second(30.0, 3));
        }
        assert!(
            (mean.expect("requests ended") - 10.0).abs() < 0.1,
            "{mean:?}"
        );
    }

    #[test]
    fn it_is_not_misled_by_a_fleet_that_grows_by_half_at_once() {
        let mut time = ServiceTime::new(Duration::from_secs(60));
        for _ in 0..2000 {
            time.update(&second(300.0, 30));
        }
        // 150 more begin at once and end together every ten seconds.
        for tick in 1..100 {
            let mean = time.update(&second(450.0, if tick % 10 == 0 { 180 } else { 30 }));
            let mean = mean.expect("requests ended");
            assert!((9.0..10.5).contains(&mean), "{mean} at {tick}");
        }
    }

    #[test]
    fn requests_that_never_end_become_longer_with_time() {
        let mut time = ServiceTime::new(Duration::from_secs(60));
        for _ in 0..30 {
            assert_eq!(time.update(&second(4.0, 0)), None);
        }
        let so_far = time.so_far();
        assert!((55.0..=60.0).contains(&so_far), "{so_far}");
    }

    #[test]
    fn nothing_is_known_before_a_request_ended_and_what_is_known_lasts() {
        let mut time = ServiceTime::new(Duration::from_secs(1));
        assert_eq!(time.update(&second(10.0, 0)), None);
        assert!(time.update(&second(10.0, 10)).is_some());
        for _ in 0..1000 {
            time.update(&second(0.0, 0));
        }
        assert!(time.update(&second(0.0, 0)).is_some());
    }
}
