//! How many requests at a time there would be workers for, if all were there that are needed.
//!
//! While no request waits this is the concurrency as it is. A queue is different: it grows while
//! workers start, for a minute or two, although the load stays the same. Counted like requests in
//! flight it would order more workers with every second of a start, the last of them for a queue that
//! the first ones clear (wind-up; Knative #3153, Ray #63279). Not counted at all, it would stay for
//! ever beside workers that are just enough for what comes. So the demand is that of the moment at which
//! workers ordered now begin to serve, and it counts a queue for what it takes to clear it:
//!
//! `max(in_flight, arrivals/s × service time + (queued + growth) × service time / clear_within)`
//!
//! but never more than what is there or coming: in flight, queued and `growth`. The first term is
//! Little's law: the concurrency that the arrivals would have if none of them had to wait. The second is
//! the concurrency of workers that answer the queue within `clear_within`.
//!
//! `growth = (arrivals/s − answers/s) × min(what is left of the start, anticipate × age of the queue)`
//!
//! is what the queue will have become when the workers that are missing are there. While they start
//! the queue grows as expected and what is left of the start shrinks: their sum, and with it the count,
//! stays the same, so that all workers are ordered at the beginning, not one after the other. How long
//! the overload will last nobody knows. A thing of unknown length is as likely as not to last as long
//! again as it has lasted (Gott 1993): hence the age of the queue, and `anticipate`. Of a rate over
//! seconds and one over many seconds the smaller counts, so that requests which all came at once do not
//! pass for a stream.
//!
//! Clients that each wait for their answer before they ask again need no rule of their own: as long as
//! some of them wait, workers are added, they ask more often, and that goes on until none waits.

use std::time::Duration;

use super::{observation::Load, rate::Rate, service_time::ServiceTime};

/// Seconds over which arrivals are averaged, exponentially: about as long as many requests of language
/// models take.
const LONG_MEMORY: f64 = 10.0;

/// Seconds after which it shows that a burst is over. Reports come every second.
const SHORT_MEMORY: f64 = 1.0;

/// Seconds that a request is thought to take before one was answered. That is little for a language
/// model and on purpose: until then nothing tells a stream of quick requests from one of long answers.
/// Too little costs one more start, once, and is corrected as soon as the first worker has its requests
/// for longer; too much orders GPUs that nobody needs (10 s ordered all 20 of `max` where 3 would do).
/// Requests that come together are each given a place, whatever this is.
const SERVICE_GUESS: f64 = 1.0;

/// How long a start is thought to take before one was seen: a model of a few gigabytes.
pub(super) const START_GUESS: Duration = Duration::from_secs(30);

/// Workers that start faster still clear a queue within this time: less would make the count follow
/// every few requests that came together.
const CLEAR_MIN: Duration = Duration::from_secs(3);

/// Fewer requests than this that wait on average over an observation are no queue yet.
const QUEUE_MIN: f64 = 0.5;

/// The demand of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    clear_within: Option<Duration>,
    anticipate: f64,
    service_time: ServiceTime,
    long: Rate,
    short: Rate,
    /// How long requests have been waiting without a pause.
    queue_age: Duration,
    parts: Parts,
}

/// What the last demand was made of, in requests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    /// Requests that do not wait yet and are counted, because they will when the missing workers come.
    pub(super) growth: f64,
    /// Waiting requests that were left out, because workers for the others will clear them in time.
    pub(super) left_out: f64,
}

impl Demand {
    /// What it remembers of service times goes back over `window`. `clear_within`: `None` for the time
    /// that a worker takes to start.
    pub(super) fn new(window: Duration, clear_within: Option<Duration>, anticipate: f64) -> Self {
        Self {
            clear_within,
            anticipate,
            service_time: ServiceTime::new(window),
            long: Rate::new(LONG_MEMORY),
            short: Rate::new(SHORT_MEMORY),
            queue_age: Duration::ZERO,
            parts: Parts::default(),
        }
    }

    /// Takes in a stretch of time of more than zero; the demand at its end. `start_time`: how long a
    /// worker takes to start, once that is known. `missing_for`: how long workers have been missing.
    pub(super) fn update(
        &mut self,
        load: &Load,
        start_time: Option<Duration>,
        missing_for: Duration,
    ) -> f64 {
        let over = load.over.as_secs_f64();
        self.long.record(load.arrivals, over);
        self.short.record(load.arrivals, over);
        let all = load.request_seconds / over;
        let in_flight = (load.in_flight_seconds / over).min(all);
        let queued = all - in_flight;
        let service_time = self
            .service_time
            .update(load)
            .unwrap_or_else(|| self.service_time.so_far().max(SERVICE_GUESS));
        let lasting = self.long.per_second().min(self.short.per_second());
        let surplus = (lasting - in_flight / service_time.max(1e-3)).max(0.0);
        let start_time = start_time.unwrap_or_else(|| START_GUESS.max(missing_for));
        let growth = surplus * self.outlook(start_time.saturating_sub(missing_for));
        let offered = self.long.per_second() * service_time;
        let clear_within = self
            .clear_within
            .unwrap_or_else(|| start_time.max(CLEAR_MIN));
        let clear_within = clear_within.as_secs_f64().max(1e-3);
        let clearing = (queued + growth) * service_time / clear_within;
        let demand = in_flight.max(offered + clearing).min(all + growth);
        self.queue_age = if queued < QUEUE_MIN {
            Duration::ZERO
        } else {
            self.queue_age.saturating_add(load.over)
        };
        self.parts = Parts {
            growth,
            left_out: (all + growth - demand).max(0.0),
        };
        demand
    }

    /// For how many seconds the queue is expected to go on growing; `left`: until the missing workers
    /// are there.
    fn outlook(&self, left: Duration) -> f64 {
        let expected = self.anticipate * self.queue_age.as_secs_f64();
        expected.min(left.as_secs_f64())
    }

    /// What the last demand was made of.
    pub(super) fn parts(&self) -> Parts {
        self.parts
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.long.clear();
        self.short.clear();
        self.queue_age = Duration::ZERO;
        self.parts = Parts::default();
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

    fn demand(clear_within: Option<Duration>) -> Demand {
        Demand::new(60 * SECOND, clear_within, 2.0)
    }

    #[test]
    fn without_a_queue_the_demand_is_what_is_in_flight() {
        let mut demand = demand(None);
        for _ in 0..100 {
            let now = demand.update(&second(7.0, 0.0, 9, 3), None, Duration::ZERO);
            assert!((now - 7.0).abs() < 1e-9);
        }
        assert_eq!(demand.parts().left_out, 0.0);
        assert_eq!(demand.parts().growth, 0.0);
    }

    #[test]
    fn a_queue_counts_for_what_clears_it() {
        let mut demand = demand(Some(5 * SECOND));
        let start = Some(20 * SECOND);
        // Five requests a second of two seconds each, for workers that take four at a time; the
        // missing ones should be there by now.
        let mut last = 0.0;
        for waited in 0..200 {
            let growing = second(4.0, 3.0 * f64::from(waited), 5, 2);
            last = demand.update(&growing, start, 20 * SECOND);
        }
        let expected = 5.0 * 2.0 + 3.0 * 199.0 * 2.0 / 5.0;
        assert!((last / expected - 1.0).abs() < 0.02, "{last}");
        assert!(demand.parts().left_out > 300.0);
    }

    #[test]
    fn a_queue_that_grows_through_a_long_start_is_ordered_for_at_the_beginning() {
        let mut demand = demand(None);
        let start = Some(90 * SECOND);
        // A worker for two at a time, requests of one second.
        for _ in 0..60 {
            demand.update(&second(2.0, 0.0, 2, 2), start, Duration::ZERO);
        }
        // Ten a second, of which eight wait.
        let demands: Vec<f64> = (1..90)
            .map(|waited| {
                let growing = second(2.0, 8.0 * f64::from(waited), 10, 2);
                demand.update(&growing, start, SECOND * waited)
            })
            .collect();
        // What comes needs 10, what waits in the end 8 more: 720 requests in 90 seconds.
        let after_half_a_minute = demands[29];
        assert!((17.0..=19.0).contains(&after_half_a_minute), "{demands:?}");
        for later in &demands[29..] {
            assert!((later / after_half_a_minute - 1.0).abs() < 0.06, "{later}");
        }
    }

    #[test]
    fn before_any_answer_a_queue_counts_as_one_of_quick_requests() {
        let mut demand = demand(None);
        let mut last = 0.0;
        for waited in 0..120 {
            let growing = second(0.0, 5.0 * f64::from(waited), 5, 0);
            last = demand.update(&growing, None, SECOND * waited);
        }
        // Five a second come and 600 wait, for two minutes now; they are thought to take a second each.
        assert!((9.0..=11.0).contains(&last), "{last}");
    }

    #[test]
    fn a_request_behind_one_without_end_counts_in_the_end() {
        let mut demand = demand(None);
        let start = Some(60 * SECOND);
        // A worker for one at a time has one that never ends, and another waits.
        let mut last = 0.0;
        demand.update(&second(1.0, 1.0, 2, 0), start, Duration::ZERO);
        for _ in 0..60 {
            last = demand.update(&second(1.0, 1.0, 0, 0), start, Duration::ZERO);
        }
        assert!(last > 1.9, "{last}");
    }

    #[test]
    fn clients_that_come_all_at_once_are_no_stream() {
        let mut demand = demand(None);
        let first = demand.update(&second(0.0, 300.0, 300, 0), None, Duration::ZERO);
        assert!((first - 300.0).abs() < 1e-9);
        let after = (1..10).map(|waited| {
            demand.update(&second(0.0, 300.0, 0, 0), None, SECOND * waited);
            demand.parts().growth
        });
        let most = after.fold(0.0, f64::max);
        assert!(most < 200.0, "{most} more are expected");
        assert!(demand.parts().growth < 2.0);
    }

    #[test]
    fn clients_that_ask_again_get_workers_until_none_of_them_waits() {
        // Thirty clients, requests of one second, workers for one at a time that appear at once.
        let mut demand = demand(Some(5 * SECOND));
        let mut workers = 1.0_f64;
        for _ in 0..120 {
            let answered = workers as u64;
            let load = second(workers, 30.0 - workers, answered, answered);
            let wanted = demand.update(&load, None, Duration::ZERO);
            workers = workers.max(wanted.ceil()).min(30.0);
        }
        assert!(workers >= 29.0, "{workers}");
    }
}
