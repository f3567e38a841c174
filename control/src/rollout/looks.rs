//! When to look, and how much of the error allowance a look may use up.

/// The looks of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// How many there were.
    made: u32,
    /// Requests there were at the last one.
    at: u64,
    /// Whether the one at the end of the interval was made.
    at_the_end: bool,
}

impl Looks {
    /// The part of the step's allowance for a look now, with so many requests; `None` when it is not
    /// time for one. `over`: whether the interval is.
    pub(super) fn due(&mut self, requests: u64, over: bool) -> Option<f64> {
        let quarter_more = requests >= self.at.saturating_add(self.at.div_ceil(4));
        let end = over && !self.at_the_end;
        let is_news = self.made == 0 || requests > self.at;
        self.at_the_end |= over;
        if !(is_news && (quarter_more || end)) {
            return None;
        }
        self.made += 1;
        self.at = requests;
        let k = f64::from(self.made);
        Some(1.0 / (k * (k + 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_with_every_quarter_more_and_at_the_end() {
        let mut looks = Looks::default();
        let mut made = Vec::new();
        for requests in 100..=200 {
            if looks.due(requests, requests >= 190).is_some() {
                made.push(requests);
            }
        }
        assert_eq!(made, [100, 125, 157, 190]);
    }

    #[test]
    fn nothing_new_is_not_looked_at_again() {
        let mut looks = Looks::default();
        assert!(looks.due(100, false).is_some());
        assert!(looks.due(100, true).is_none());
        assert!(looks.due(101, true).is_none(), "the end has been");
    }

    #[test]
    fn the_parts_never_add_up_to_more_than_the_whole() {
        let mut looks = Looks::default();
        let all: f64 = (1..2_000_000)
            .filter_map(|requests| looks.due(requests, false))
            .sum();
        assert!(all > 0.9 && all < 1.0, "{all}");
    }
}
