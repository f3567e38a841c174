//! Takes out those who wait in vain.

use super::{Line, lane::Flow};

impl<T> Line<T> {
    /// Takes out everybody of whom `is` is true. It is told how many of those who stay go before each in
    /// any case, whoever comes and whichever places become free: those who joined earlier with the
    /// same class and key, for the same places. Others, of an earlier round or of a class that is due
    /// first, may do so too, but only as long as nobody before them leaves. Of whoever comes back from a
    /// worker none is counted: which workers it avoids, and with whom it waits then, depends on which
    /// workers there are. Nor do those count who wait for one worker only, because when that goes they
    /// are at home at several others.
    ///
    /// One pass over the line.
    pub fn take_late(&mut self, mut is: impl FnMut(usize, &T) -> bool) -> Vec<T> {
        let mut late = Vec::new();
        for ((home, _), lane) in &self.lanes {
            for (flow, tickets) in lane.by_flow() {
                let counts = *home == super::Home::Anywhere && flow != Flow::Returned;
                let mut ahead = 0;
                for ticket in tickets {
                    let Some(waiter) = self.waiters.get(&ticket) else {
                        continue;
                    };
                    if is(ahead, &waiter.what) {
                        late.push(ticket);
                    } else {
                        ahead += usize::from(counts);
                    }
                }
            }
        }
        let taken = late.into_iter();
        taken.filter_map(|ticket| self.leave(ticket)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Home, Turn};

    fn turn(key: Option<u64>, delay: u64, returned: bool) -> Turn {
        Turn {
            delay: Duration::from_secs(delay),
            key,
            returned,
            ..Turn::default()
        }
    }

    #[test]
    fn only_those_of_its_own_class_and_key_who_stay_go_before_one_in_any_case() {
        let mut line = Line::new();
        for name in ["a0", "a1", "gone", "a2"] {
            line.join(turn(Some(1), 0, false), Home::Anywhere, name);
        }
        line.join(turn(Some(2), 0, false), Home::Anywhere, "b0");
        line.join(turn(Some(1), 9, false), Home::Anywhere, "batch0");
        line.join(turn(Some(1), 9, false), Home::Anywhere, "batch1");
        for name in ["back0", "back1"] {
            line.join(turn(None, 0, true), Home::NotAt(7), name);
        }
        for name in ["home0", "home1"] {
            line.join(turn(None, 0, false), Home::At(7), name);
        }
        let mut told = Vec::new();
        let taken = line.take_late(|ahead, name| {
            told.push((*name, ahead));
            *name == "gone"
        });
        assert_eq!((taken, line.len()), (vec!["gone"], 10));
        told.sort_unstable();
        let expected = [
            ("a0", 0),
            ("a1", 1),
            ("a2", 2),
            ("b0", 0),
            ("back0", 0),
            ("back1", 0),
            ("batch0", 0),
            ("batch1", 1),
            ("gone", 2),
            ("home0", 0),
            ("home1", 0),
        ];
        assert_eq!(told, expected);
    }
}
