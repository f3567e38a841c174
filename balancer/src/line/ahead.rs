//! How many go before a request that joins.

use std::time::Duration;

use super::{
    Home, Line, Turn, flow,
    lane::{Flow, Lane},
};

/// How many requests go before one that would join now, if nobody leaves and nobody comes who may
/// overtake it. Found in logarithmic time, and so not always exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ahead {
    /// At least so many of those who wait for the same places.
    pub least: usize,
    /// About so many of those who wait for the same places. Exact without classes and keys. With keys
    /// all keys are taken to have as many as its own; of another class it counts those that are
    /// due earlier as if they had come evenly over the time.
    pub likely: usize,
    /// Of those who wait for other places but may have these too, about so many: for a request
    /// that waits for one worker, those that wait for any; for one that waits for any, all that wait
    /// for one.
    pub others: usize,
}

impl<T> Line<T> {
    /// Who goes before a request that would join now.
    pub fn ahead(&self, turn: &Turn, home: Home) -> Ahead {
        let due = Due::of(turn, self.lanes.get(&(home, turn.delay)));
        let mut ahead = Ahead::default();
        let mut same = 0;
        for ((_, delay), lane) in self.lanes_at(home) {
            let before = lane.before(turn, due, *delay);
            ahead.least += before.least;
            ahead.likely += before.likely;
            same += lane.len();
        }
        ahead.others = match home {
            Home::At(_) => self
                .lanes_at(Home::Anywhere)
                .chain(self.lanes_not_at())
                .map(|((_, delay), lane)| lane.before(turn, due, *delay).likely)
                .sum(),
            Home::Anywhere | Home::NotAt(_) => self.len() - same,
        };
        ahead
    }
}

/// The shortest time there is.
const INSTANT: Duration = Duration::from_nanos(1);

/// By when others must be due to go before a request.
#[derive(Clone, Copy)]
struct Due {
    /// To go before it most likely.
    likely: Duration,
    /// To go before it in any case. Where requests of its class overtake older ones, the oldest of
    /// them is what its class competes with.
    least: Duration,
}

impl Due {
    fn of(turn: &Turn, class: Option<&Lane>) -> Self {
        let due = turn.arrived.saturating_add(turn.delay);
        let overtakes = class.filter(|class| class.size(flow(turn)) < class.len());
        // Of those that are due at the same time as the oldest some are younger, and go after it.
        let before = |oldest: Duration| (oldest + turn.delay).saturating_sub(INSTANT);
        let oldest = overtakes.and_then(Lane::oldest);
        Self {
            likely: due,
            least: oldest.map_or(due, |(oldest, _)| due.min(before(oldest))),
        }
    }
}

/// Who of a lane goes first.
struct Before {
    least: usize,
    likely: usize,
}

impl Before {
    fn exactly(count: usize) -> Self {
        Self {
            least: count,
            likely: count,
        }
    }
}

impl Lane {
    /// Who of this lane, whose class has the delay `delay`, goes before a request with this turn.
    fn before(&self, turn: &Turn, due: Due, delay: Duration) -> Before {
        if delay == turn.delay {
            self.before_in_class(flow(turn))
        } else {
            self.before_by(due, delay)
        }
    }

    /// Of its own class: its key's own, and of every other key as many as there are rounds to wait.
    fn before_in_class(&self, own: Flow) -> Before {
        let own_size = self.size(own);
        if own == Flow::Returned {
            return Before::exactly(own_size);
        }
        let others = self.flows.len() - usize::from(own_size > 0);
        let in_rounds = others.saturating_mul(own_size + 1).saturating_add(own_size);
        Before {
            least: others + own_size,
            likely: in_rounds.min(self.len()),
        }
    }

    /// Of another class: those that are due by then.
    fn before_by(&self, due: Due, delay: Duration) -> Before {
        let (Some((oldest, _)), Some((newest, _))) = (self.oldest(), self.newest()) else {
            return Before::exactly(0);
        };
        let came_by = |due: Duration| due.checked_sub(delay).filter(|by| *by >= oldest);
        let likely = came_by(due.likely).map_or(0, |by| {
            if by >= newest {
                return self.len();
            }
            let share = (by - oldest).as_secs_f64() / (newest - oldest).as_secs_f64();
            ((share * self.len() as f64).ceil() as usize).clamp(1, self.len())
        });
        let least = came_by(due.least).map_or(0, |by| if by >= newest { self.len() } else { 1 });
        Before { least, likely }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn came(at: u64, delay: u64) -> Turn {
        Turn {
            arrived: second(at),
            delay: second(delay),
            ..Turn::default()
        }
    }

    fn of(key: u64) -> Turn {
        Turn {
            key: Some(key),
            ..Turn::default()
        }
    }

    fn exactly(count: usize) -> Ahead {
        Ahead {
            least: count,
            likely: count,
            others: 0,
        }
    }

    #[test]
    fn without_wishes_all_who_wait_go_before() {
        let mut line = Line::new();
        assert_eq!(line.ahead(&came(0, 0), Home::Anywhere), exactly(0));
        for number in 0..7 {
            line.join(came(number, 0), Home::Anywhere, ());
        }
        assert_eq!(line.ahead(&came(9, 0), Home::Anywhere), exactly(7));
    }

    #[test]
    fn of_other_classes_those_go_before_that_are_due_earlier() {
        let mut line = Line::new();
        for number in 0..=10 {
            line.join(came(number, 30), Home::Anywhere, ());
        }
        let ahead = |line: &Line<()>, at| line.ahead(&came(at, 0), Home::Anywhere);
        assert_eq!(ahead(&line, 20), exactly(0));
        assert_eq!(ahead(&line, 40), exactly(11));
        let some = ahead(&line, 35);
        assert_eq!((some.least, some.likely), (1, 6));
        assert_eq!(line.ahead(&came(11, 30), Home::Anywhere), exactly(11));
        line.join(came(20, 0), Home::Anywhere, ());
        assert_eq!(line.ahead(&came(21, 30), Home::Anywhere), exactly(12));
    }

    #[test]
    fn who_has_little_in_the_line_is_near_its_front() {
        let mut line = Line::new();
        for _ in 0..10 {
            line.join(of(1), Home::Anywhere, ());
        }
        assert_eq!(line.ahead(&of(1), Home::Anywhere), exactly(10));
        assert_eq!(line.ahead(&of(2), Home::Anywhere), exactly(1));
        line.join(of(2), Home::Anywhere, ());
        let second = line.ahead(&of(2), Home::Anywhere);
        assert_eq!((second.least, second.likely), (2, 3));
        let back = Turn {
            returned: true,
            ..of(1)
        };
        assert_eq!(line.ahead(&back, Home::Anywhere), exactly(0));
    }

    #[test]
    fn who_waits_for_one_worker_has_others_beside_its_own() {
        let mut line = Line::new();
        for home in [Home::At(1), Home::At(1), Home::At(2), Home::Anywhere] {
            line.join(came(0, 0), home, ());
        }
        let at_one = line.ahead(&came(1, 0), Home::At(1));
        assert_eq!((at_one.least, at_one.likely, at_one.others), (2, 2, 1));
        let anywhere = line.ahead(&came(1, 0), Home::Anywhere);
        assert_eq!(
            (anywhere.least, anywhere.likely, anywhere.others),
            (1, 1, 3)
        );
    }
}
