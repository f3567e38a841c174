//! How long simulated workers take to start and to answer.

use std::time::Duration;

use super::trace::Work;

/// A kind of worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerModel {
    /// Median time from the start of a worker until it is ready.
    pub start: Duration,
    /// How much start times vary: each is the median times a number between `1 − spread` and
    /// `1 + spread`, all equally likely. 0 to 1.
    pub start_spread: f64,
    /// Most requests on one worker at once; at least 1.
    pub max_concurrency: u32,
    /// Prompt tokens read per second.
    pub prefill_rate: f64,
    /// Tokens generated per second for each request.
    pub decode_rate: f64,
    /// How much slower all of this is for each further request in the batch, as a share: with 0.05
    /// a request that makes it eight takes 1.35 times as long as one alone.
    pub batch_slowdown: f64,
    /// Whether a fresh worker is filled gently, as the gateway does it.
    pub ramp: bool,
}

impl Default for WorkerModel {
    /// A 13-billion-parameter model on one current data-centre GPU: about 4,000 prompt tokens per
    /// second and 40 tokens per second and request; loading its weights from disk takes half a minute.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            start_spread: 0.0,
            max_concurrency: 8,
            prefill_rate: 4000.0,
            decode_rate: 40.0,
            batch_slowdown: 0.0,
            ramp: true,
        }
    }
}

impl WorkerModel {
    /// Time that `work` takes as one of `batch` requests.
    pub(super) fn service_time(&self, work: Work, batch: u32) -> Duration {
        match work {
            Work::Tokens { prompt, generated } => {
                let reading = f64::from(prompt) / self.prefill_rate;
                let writing = f64::from(generated) / self.decode_rate;
                self.in_company(reading + writing, batch)
            }
            Work::Time(time) => time,
        }
    }

    /// Time until the answer begins. What is known by its time only is answered in one piece.
    pub(super) fn first_byte(&self, work: Work, batch: u32) -> Duration {
        match work {
            Work::Tokens { prompt, .. } => {
                self.in_company(f64::from(prompt) / self.prefill_rate, batch)
            }
            Work::Time(time) => time,
        }
    }

    /// What takes so many seconds alone, as one of `batch` requests.
    fn in_company(&self, alone: f64, batch: u32) -> Duration {
        let others = f64::from(batch.saturating_sub(1));
        seconds(alone * (1.0 + self.batch_slowdown * others))
    }

    /// Start time of the worker that `chance`, 0 to 1, stands for.
    pub(super) fn start_time(&self, chance: f64) -> Duration {
        seconds(self.start.as_secs_f64() * (1.0 + self.start_spread * (2.0 * chance - 1.0)))
    }
}

/// Longest time that a model may come to: what is beyond is a slip in the numbers given.
const LONGEST: f64 = 1e7;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_its_prompt_and_its_tokens_and_more_in_company() {
        let model = WorkerModel {
            prefill_rate: 1000.0,
            decode_rate: 50.0,
            batch_slowdown: 0.1,
            ..WorkerModel::default()
        };
        let work = Work::Tokens {
            prompt: 500,
            generated: 100,
        };
        assert_eq!(model.service_time(work, 1), Duration::from_millis(2500));
        assert_eq!(model.service_time(work, 6), Duration::from_millis(3750));
        assert_eq!(model.first_byte(work, 6), Duration::from_millis(750));
        let fixed = Work::Time(Duration::from_secs(3));
        assert_eq!(model.service_time(fixed, 6), Duration::from_secs(3));
        assert_eq!(model.first_byte(fixed, 6), Duration::from_secs(3));
    }

    #[test]
    fn start_times_spread_around_the_median() {
        let model = WorkerModel {
            start: Duration::from_secs(10),
            start_spread: 0.5,
            ..WorkerModel::default()
        };
        assert_eq!(model.start_time(0.0), Duration::from_secs(5));
        assert_eq!(model.start_time(0.5), Duration::from_secs(10));
        assert_eq!(model.start_time(1.0), Duration::from_secs(15));
    }
}
