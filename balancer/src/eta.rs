//! How long a request in a line will wait: what is likely, and what it can count on at least.
//!
//! Both follow from who is ahead of it ([`Line::ahead`](crate::Line::ahead)), from the places at
//! workers now and later ([`Crew`]), and from how long requests keep a place.
//!
//! **Likely.** With all places taken, one becomes free every `mean service time / places` (Little's
//! law); new workers bring all their places at once. So the wait is the time until as many places
//! have come as the request needs: one for everybody ahead of it and one for itself.
//!
//! **At least.** Every unknown is taken at its best: all that is in flight ends at once, new workers are
//! as quick as any can be, as many come as there may be, nobody overtakes. Then what remains is the
//! work of those ahead. Of `n` ahead, all have begun by the time that the request gets one of `p`
//! places, and at most `p − 1` of them still go on: `n + 1 − p` have ended, so the places were busy
//! for at least as long as these took. See [`Work`] for that.

use std::time::Duration;

/// Places at workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crew {
    /// Places at workers that are there now. Infinite where there is no limit.
    pub now: f64,
    /// When from now on there are more, and how many there are then in all.
    pub later: Option<(Duration, f64)>,
}

impl Crew {
    /// Whether some places are gone or come later than `before` promised.
    pub fn is_less_than(&self, before: &Self) -> bool {
        let later_is_less = match (before.later, self.later) {
            (Some((at, places)), Some((new_at, new_places))) => new_at > at || new_places < places,
            (later, None) => later.is_some_and(|(_, places)| places > self.now),
            (None, Some(_)) => false,
        };
        self.now < before.now || later_is_less
    }
}

/// How long a request waits that has so many ahead of it, most likely, when requests keep a place for
/// `service` on average. `None` when that does not follow from what is known.
pub fn likely_wait(ahead: usize, crew: &Crew, service: Option<Duration>) -> Option<Duration> {
    let wanted = ahead as f64 + 1.0;
    let service = service.map(|time| time.as_secs_f64());
    // Places that become free per second.
    let pace = match (crew.now > 0.0, service) {
        (false, _) => 0.0,
        (true, service) => crew.now / service?,
    };
    let (at, places) = match crew.later {
        Some((at, places)) => (at.as_secs_f64(), places),
        None => return seconds(wanted / pace),
    };
    let freed = pace * at;
    if freed >= wanted {
        return seconds(wanted / pace);
    }
    let missing = wanted - freed - (places - crew.now);
    if missing <= 0.0 {
        return seconds(at);
    }
    seconds(at + missing * service? / places)
}

/// How long a request waits at least that has at least so many ahead of it. Without `work`, whatever
/// is ahead may take no time.
pub fn least_wait(ahead: usize, crew: &Crew, work: Option<&Work>) -> Duration {
    let busy = |places: f64| work.map_or(0.0, |work| work.least(ahead, places));
    let by_now = if crew.now > 0.0 {
        busy(crew.now) / crew.now
    } else {
        f64::INFINITY
    };
    let least = match crew.later {
        Some((at, places)) if by_now > at.as_secs_f64() => {
            let at = at.as_secs_f64();
            let rest = busy(places) - crew.now * at;
            if rest > 0.0 { at + rest / places } else { at }
        }
        // Without a worker and the prospect of one nothing is known.
        None if crew.now <= 0.0 => 0.0,
        _ => by_now,
    };
    seconds(least).unwrap_or(Duration::MAX)
}

/// Least waits by how many are ahead, for many requests at once.
///
/// Kept for a few numbers, of which each is about an eighth more than the one before. For those in between
/// the lower one holds.
#[derive(Debug, Clone)]
pub struct LeastWaits(Vec<(usize, Duration)>);

impl LeastWaits {
    /// For up to `most` ahead. `work` as in [`least_wait`].
    pub fn new(most: usize, crew: &Crew, work: Option<&Work>) -> Self {
        let mut waits: Vec<(usize, Duration)> = Vec::new();
        let mut ahead = 0;
        while ahead <= most {
            // Whoever has more ahead waits no less than those with fewer.
            let before = waits.last().map_or(Duration::ZERO, |(_, wait)| *wait);
            waits.push((ahead, least_wait(ahead, crew, work).max(before)));
            ahead += 1 + ahead / 8;
        }
        Self(waits)
    }

    /// How long a request waits at least that has at least so many ahead of it.
    pub fn of(&self, ahead: usize) -> Duration {
        let beyond = self.0.partition_point(|(fewer, _)| *fewer <= ahead);
        let found = beyond.checked_sub(1).and_then(|place| self.0.get(place));
        found.map_or(Duration::ZERO, |(_, wait)| *wait)
    }

    /// The longest of them.
    pub fn longest(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |(_, wait)| *wait)
    }
}

/// Requests that must have been served before anything is concluded from how long they took.
const SERVED_MIN: u64 = 100;

/// Natural logarithm of the chance that those ahead are quicker than [`Work`] says, if they are like
/// those before: one in a thousand million.
const CHANCE: f64 = -20.7;

/// They may be unlike those before, or leave: half of what follows from those is counted on.
const TRUSTED: f64 = 0.5;

/// The rates, per second, at which the bound is tried: powers of two from `2^FIRST_RATE`. They suit
/// service times from a millisecond to hours.
const FIRST_RATE: i32 = -16;
const RATES: usize = 29;

/// How much work some number of requests is at least, by how long others took.
///
/// The sum of `m` independent times is below `x` with a probability of at most
/// `exp(θx) × E[exp(−θt)]^m`, for every rate `θ` (Chernoff 1952); `x` is the largest for which that is
/// as improbable as we want it. Which of the requests ahead those `m` are is not known, so that each
/// choice of them counts (`ln C(n, k) ≤ k × (1 + ln(n / k))`). A few requests may take no time at all
/// by this, and very many take nearly their mean. Of that, half is counted on.
#[derive(Debug, Clone)]
pub struct Work {
    /// For each rate `−ln E[exp(−θt)]`.
    decay: [f64; RATES],
}

impl Work {
    /// Learns from requests that kept a place for at least so long, and how many of each there were,
    /// and from so many that `left` the line before their turn, which took no time. `None` from
    /// too few.
    pub fn learn(served: &[(Duration, u64)], left: u64) -> Option<Self> {
        let count: u64 = served.iter().map(|(_, count)| count).sum();
        if count < SERVED_MIN {
            return None;
        }
        // One that takes no time is always to be expected.
        let at_once = left as f64 + 1.0;
        let all = count as f64 + at_once;
        let decay = std::array::from_fn(|index| {
            let rate = rate(index);
            let weighed = served.iter().filter(|(_, count)| *count > 0);
            let sum: f64 = weighed
                .map(|(time, count)| *count as f64 * (-rate * time.as_secs_f64()).exp())
                .sum();
            -((sum + at_once) / all).ln()
        });
        Some(Self { decay })
    }

    /// Seconds for which so many places together were busy with those ahead, when the next one gets
    /// its place.
    fn least(&self, ahead: usize, places: f64) -> f64 {
        let ahead = ahead as f64;
        let ended = ahead + 1.0 - places;
        if ended <= 0.0 {
            return 0.0;
        }
        let going = ahead - ended;
        let choices = if going >= 1.0 {
            going * (1.0 + (ahead / going).ln())
        } else {
            0.0
        };
        let sums = self.decay.iter().enumerate().map(|(index, decay)| {
            let odds = decay * ended - choices + CHANCE;
            odds / rate(index)
        });
        sums.fold(0.0, f64::max) * TRUSTED
    }
}

fn rate(index: usize) -> f64 {
    2_f64.powi(FIRST_RATE + index as i32)
}

/// `None` for what is no time, or longer than anybody waits.
fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn likely(ahead: usize, now: f64, later: Option<(u64, f64)>) -> Option<f64> {
        let later = later.map(|(at, places)| (SECOND * at as u32, places));
        let wait = likely_wait(ahead, &Crew { now, later }, Some(SECOND * 10));
        wait.map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn busy_places_become_free_one_after_the_other() {
        // Five places, ten seconds each: one every two seconds.
        assert_eq!(likely(0, 5.0, None), Some(2.0));
        assert_eq!(likely(9, 5.0, None), Some(20.0));
    }

    #[test]
    fn a_cold_start_serves_those_who_have_a_place_at_the_new_worker_at_its_end() {
        let cold = Some((30, 8.0));
        assert_eq!(likely(0, 0.0, cold), Some(30.0));
        assert_eq!(likely(7, 0.0, cold), Some(30.0));
        assert_eq!(likely(15, 0.0, cold), Some(40.0));
        let crew = Crew {
            now: 0.0,
            later: Some((SECOND, 8.0)),
        };
        assert_eq!(likely_wait(7, &crew, None), Some(SECOND));
        assert_eq!(likely_wait(8, &crew, None), None);
    }

    #[test]
    fn a_worker_on_its_way_shortens_the_wait_of_those_who_still_wait_then() {
        // Half a place per second until a second worker comes, after 20 s.
        let more = Some((20, 10.0));
        assert_eq!(likely(7, 5.0, more), Some(16.0));
        assert_eq!(likely(12, 5.0, more), Some(20.0));
        assert_eq!(likely(24, 5.0, more), Some(30.0));
    }

    #[test]
    fn what_is_not_known_is_not_predicted() {
        let crew = |now, later| Crew { now, later };
        assert_eq!(likely_wait(3, &crew(5.0, None), None), None);
        assert_eq!(likely_wait(3, &crew(0.0, None), Some(SECOND)), None);
        assert_eq!(least_wait(900, &crew(0.0, None), None), Duration::ZERO);
        assert_eq!(least_wait(900, &crew(1.0, None), None), Duration::ZERO);
    }

    #[test]
    fn before_a_worker_can_be_there_nobody_is_served() {
        let crew = Crew {
            now: 0.0,
            later: Some((SECOND * 30, 8.0)),
        };
        assert_eq!(least_wait(0, &crew, None), SECOND * 30);
        let unlimited = Crew {
            now: 0.0,
            later: Some((SECOND * 30, f64::INFINITY)),
        };
        let work = Work::learn(&[(SECOND, 1000)], 0);
        assert_eq!(
            least_wait(1_000_000, &unlimited, work.as_ref()),
            SECOND * 30
        );
    }

    #[test]
    fn many_requests_ahead_are_half_their_work_and_a_few_are_none() {
        let crew = |now: f64| Crew { now, later: None };
        let work = Work::learn(&[(SECOND, 10_000)], 0).unwrap();
        let least = |ahead, now| least_wait(ahead, &crew(now), Some(&work)).as_secs_f64();
        assert_eq!(least(7, 8.0), 0.0, "all of them may be served at once");
        assert_eq!(least(8, 8.0), 0.0);
        let many = least(100_000, 8.0);
        assert!((6_000.0..6_250.0).contains(&many), "{many}");
        assert!(Work::learn(&[(SECOND, 99)], 1000).is_none());
    }

    #[test]
    fn least_waits_of_many_are_never_more_than_that_of_each_and_hardly_less() {
        let work = Work::learn(&[(SECOND, 10_000)], 0);
        let crew = Crew {
            now: 3.0,
            later: Some((SECOND * 500, 8.0)),
        };
        let waits = LeastWaits::new(20_000, &crew, work.as_ref());
        for ahead in [0, 1, 7, 8, 100, 1_234, 9_999, 20_000, 50_000] {
            let exact = least_wait(ahead, &crew, work.as_ref());
            let wait = waits.of(ahead);
            assert!(wait <= exact, "{ahead}: {wait:?}, {exact:?}");
            assert!(
                wait >= exact.mul_f64(0.85) || ahead > 20_000,
                "{ahead}: {wait:?}, {exact:?}"
            );
        }
        assert!(waits.0.len() < 100, "{}", waits.0.len());
        assert!(waits.longest() <= least_wait(20_000, &crew, work.as_ref()));
    }

    #[test]
    fn fewer_places_and_later_ones_are_less() {
        let crew = |now, later: Option<(u32, f64)>| Crew {
            now,
            later: later.map(|(at, places)| (SECOND * at, places)),
        };
        let before = crew(4.0, Some((10, 8.0)));
        for (less, is_less) in [
            (before, false),
            (crew(2.0, Some((10, 8.0))), true),
            (crew(4.0, Some((10, 6.0))), true),
            (crew(4.0, Some((11, 8.0))), true),
            (crew(4.0, None), true),
            (crew(8.0, None), false),
            (crew(4.0, Some((5, 8.0))), false),
        ] {
            assert_eq!(less.is_less_than(&before), is_less, "{less:?}");
        }
        assert!(!before.is_less_than(&crew(4.0, None)));
    }

    #[test]
    fn those_who_leave_are_no_work() {
        let crew = Crew {
            now: 1.0,
            later: None,
        };
        let least = |left| {
            let work = Work::learn(&[(SECOND, 1000)], left);
            least_wait(10_000, &crew, work.as_ref()).as_secs_f64()
        };
        assert!(
            (least(1000) / least(0) - 0.5).abs() < 0.05,
            "half of them left"
        );
    }
}
