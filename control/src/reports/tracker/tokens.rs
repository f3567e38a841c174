//! How many tokens there are in a second, by what a gateway says of them now and then.

use std::time::Duration;

use penstock_config::fleet::TokenLoad;

/// A pace is taken over at least this long: reports come every second, and sooner when something happens.
const OVER: Duration = Duration::from_secs(2);

/// A pace goes on for this long without a report.
const HOLDS: Duration = Duration::from_secs(5);

/// One gateway's words about tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TokenPace {
    now: TokenLoad,
    /// From when on the pace is taken, and what there was then.
    base: (Duration, TokenLoad),
    heard_at: Duration,
    rate: [f64; 2],
}

/// Tokens of a deployment's models.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TokenRates {
    /// Since the gateways began.
    pub sum: TokenLoad,
    /// Of prompts.
    pub input_per_second: f64,
    /// Of answers.
    pub output_per_second: f64,
}

impl TokenPace {
    /// Nothing is known of before.
    pub(super) fn of(load: TokenLoad, now: Duration) -> Self {
        Self {
            now: load,
            base: (now, load),
            heard_at: now,
            rate: [0.0; 2],
        }
    }

    /// What a later report says.
    pub(super) fn then(mut self, load: TokenLoad, now: Duration) -> Self {
        (self.now, self.heard_at) = (load, now);
        let (since, before) = self.base;
        let over = now.saturating_sub(since);
        if over >= OVER {
            let per_second =
                |after: u64, before: u64| after.saturating_sub(before) as f64 / over.as_secs_f64();
            self.rate = [
                per_second(load.input, before.input),
                per_second(load.output, before.output),
            ];
            self.base = (now, load);
        }
        self
    }

    pub(super) fn rates(&self, now: Duration) -> TokenRates {
        let is_old = now.saturating_sub(self.heard_at) > HOLDS;
        let [input_per_second, output_per_second] = if is_old { [0.0; 2] } else { self.rate };
        TokenRates {
            sum: self.now,
            input_per_second,
            output_per_second,
        }
    }
}

impl TokenRates {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            sum: TokenLoad {
                input: self.sum.input.saturating_add(other.sum.input),
                output: self.sum.output.saturating_add(other.sum.output),
            },
            input_per_second: self.input_per_second + other.input_per_second,
            output_per_second: self.output_per_second + other.output_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(output: u64) -> TokenLoad {
        TokenLoad { input: 0, output }
    }

    #[test]
    fn a_pace_is_taken_over_some_time_however_often_reports_come() {
        let seconds = Duration::from_secs_f64;
        let mut pace = TokenPace::of(load(100), seconds(10.0));
        for (at, output, rate) in [
            (10.1, 150, 0.0),
            (11.0, 300, 0.0),
            (12.0, 500, 200.0),
            (12.1, 900, 200.0),
            (14.5, 500, 0.0),
        ] {
            pace = pace.then(load(output), seconds(at));
            let told = pace.rates(seconds(at));
            assert_eq!((told.output_per_second, told.sum.output), (rate, output));
        }
        pace = pace.then(load(1000), seconds(16.5));
        assert_eq!(pace.rates(seconds(21.0)).output_per_second, 250.0);
        assert_eq!(pace.rates(seconds(22.0)).output_per_second, 0.0);
    }
}
