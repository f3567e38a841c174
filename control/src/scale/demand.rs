//! How many requests at a time there would be workers for, if all were there that are needed.
//!
//! While no request waits this is the concurrency as it is. A queue is different: it grows while
//! workers start, for a minute or two, although the load stays the same. Counted like requests in
//! flight it would order more workers the longer the start takes (wind-up; Knative #3153, Ray #63279).
//! Not counted at all, it would stay for ever beside workers that are just enough for what comes.
//! So a queue counts for what it takes to clear it. In a stretch of time the demand is
//!
//! `max(in_flight, arrivals/s × service time + queued × service time / clear_within)`
//!
//! but never more than what is there, in flight and queued. The first term is Little's law: the
//! concurrency that the arrivals would have if none of them had to wait. The second is the concurrency
//! of workers that answer the queue within `clear_within`. When that is the time a worker takes to
//! start, a queue that grew in this time about doubles the demand at most: however long starts take,
//! the count does not run away. Clients that each wait for their answer before they ask again need no
//! rule of their own: as long as some of them wait, workers are added, they ask more often, and that
//! goes on until none waits.

use std::time::Duration;

use super::{observation::Load, service_time::ServiceTime};

/// Time over which arrivals are averaged, exponentially: about as long as many requests of language
/// models take.
const RATE_MEMORY: f64 = 10.0;

/// Seconds that a request is thought to take before one was answered: the answer of a language model
/// of a few hundred tokens. Only a deployment that never answered a request needs it.
const SERVICE_GUESS: f64 = 10.0;

/// How long a start is thought to take before one was seen: a model of a few gigabytes.
const START_GUESS: Duration = Duration::from_secs(30);

/// Workers that start faster still clear a queue within this time: less would make the count follow
/// every few requests that came together.
const CLEAR_MIN: Duration = Duration::from_secs(3);

/// The demand of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    clear_within: Option<Duration>,
    service_time: ServiceTime,
    /// Arrivals per second, weighted, and the sum of the weights: at first it is less than 1.
    rate: f64,
    weight: f64,
    left_out: f64,
}

impl Demand {
    /// `window`: the long averaging window. `clear_within`: `None` for the time that a worker takes
    /// to start.
    pub(super) fn new(window: Duration, clear_within: Option<Duration>) -> Self {
        Self {
            clear_within,
            service_time: ServiceTime::new(window),
            rate: 0.0,
            weight: 0.0,
            left_out: 0.0,
        }
    }

    /// Takes in a stretch of time of more than zero; the mean demand in it. `start_time`: how long a
    /// worker takes to start, once that is known. `missing_for`: how long workers have been missing.
    pub(super) fn update(
        &mut self,
        load: &Load,
        start_time: Option<Duration>,
        missing_for: Duration,
    ) -> f64 {
        let clear_within = self.clear_within.unwrap_or_else(|| {
            let start_time = start_time.unwrap_or_else(|| START_GUESS.max(missing_for));
            start_time.max(CLEAR_MIN)
        });
        let over = load.over.as_secs_f64();
        let kept = (-over / RATE_MEMORY).exp();
        self.rate = self.rate * kept + load.arrivals as f64 / over * (1.0 - kept);
        self.weight = self.weight * kept + 1.0 - kept;
        let all = load.request_seconds / over;
        let in_flight = (load.in_flight_seconds / over).min(all);
        let queued = all - in_flight;
        let service_time = self.service_time.update(load).unwrap_or(SERVICE_GUESS);
        let offered = self.rate / self.weight * service_time;
        let clearing = queued * service_time / clear_within.as_secs_f64().max(1e-3);
        let demand = in_flight.max(offered + clearing).min(all);
        self.left_out = all - demand;
        demand
    }

    /// Waiting requests that the last demand left out, because workers for the others will clear
    /// them in time.
    pub(super) fn left_out(&self) -> f64 {
        self.left_out
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.rate = 0.0;
        self.weight = 0.0;
        self.left_out = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A second with so many requests in flight and queued, arrivals and answers.
    fn second(in_flight: f64, queued: f64, arrivals: u64, served: u64) -> Load {
        Load {
            over: SECOND,
            request_seconds: in_flight + queued,
            in_flight_seconds: in_flight,
            arrivals,
            served,
            ..Load::default()
        }
    }

    fn demand() -> Demand {
        Demand::new(60 * SECOND, Some(5 * SECOND))
    }

    #[test]
    fn without_a_queue_the_demand_is_what_is_in_flight() {
        let mut demand = demand();
        for _ in 0..100 {
            assert!(
                (demand.update(&second(7.0, 0.0, 9, 3), None, Duration::ZERO) - 7.0).abs() < 1e-9
            );
        }
        assert_eq!(demand.left_out(), 0.0);
    }

    #[test]
    fn while_workers_start_a_growing_queue_counts_for_what_clears_it() {
        let mut demand = demand();
        // Five requests a second of two seconds each, for workers that take four at a time.
        let mut last = 0.0;
        for waited in 0..200 {
            last = demand.update(
                &second(4.0, 3.0 * f64::from(waited), 5, 2),
                None,
                Duration::ZERO,
            );
        }
        let expected = 5.0 * 2.0 + 3.0 * 199.0 * 2.0 / 5.0;
        assert!((last / expected - 1.0).abs() < 0.02, "{last}");
        assert!(demand.left_out() > 300.0);
    }

    #[test]
    fn before_any_answer_a_queue_that_grows_through_a_long_start_counts_as_a_few_seconds_of_it() {
        let mut demand = Demand::new(60 * SECOND, None);
        let mut last = 0.0;
        for waited in 0..120 {
            let growing = second(0.0, 5.0 * f64::from(waited), 5, 0);
            last = demand.update(&growing, None, SECOND * waited);
        }
        // 600 wait for two minutes. They are thought to take 10 s each.
        assert!((90.0..=105.0).contains(&last), "{last}");
    }

    #[test]
    fn clients_that_come_all_at_once_count_in_full() {
        let mut demand = Demand::new(60 * SECOND, None);
        let first = demand.update(&second(0.0, 300.0, 300, 0), None, Duration::ZERO);
        assert!((first - 300.0).abs() < 1e-9);
    }

    #[test]
    fn clients_that_ask_again_get_workers_until_none_of_them_waits() {
        // Thirty clients, requests of one second, workers for one at a time that appear at once.
        let mut demand = demand();
        let mut workers = 1.0_f64;
        for _ in 0..120 {
            let answered = workers as u64;
            let wanted = demand.update(
                &second(workers, 30.0 - workers, answered, answered),
                None,
                Duration::ZERO,
            );
            workers = workers.max(wanted.ceil()).min(30.0);
        }
        assert!(workers >= 29.0, "{workers}");
    }
}
