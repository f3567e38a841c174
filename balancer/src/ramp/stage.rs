//! Where a ramp stands, and how that fits into one word.

use std::time::Duration;

use super::STEP;

/// A worker without `max_concurrency` counts as warm from here: ten doublings.
const WARM_WITHOUT_MAX: u32 = 1 << 10;

/// The word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    /// `max_concurrency`.
    pub(super) max: Option<u32>,
    /// The filling, while it is under way; `None` when the worker is warm.
    pub(super) filling: Option<Filling>,
}

/// A filling that is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Filling {
    /// How often the limit has doubled.
    pub(super) doublings: u32,
    pub(super) clock: StepClock,
}

/// From when the time counts after which the limit doubles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StepClock {
    /// From the first request on.
    AtRequest,
    /// From the first answer on.
    AtAnswer,
    /// From this time on, in milliseconds modulo [`TIMES`].
    Since(u64),
}

impl Filling {
    /// Nothing has doubled, and nobody has come.
    pub(super) const FRESH: Self = Self {
        doublings: 0,
        clock: StepClock::AtRequest,
    };
}

/// Times are counted modulo so many milliseconds: six days, which is long beside a step.
pub(super) const TIMES: u64 = (1 << 29) - 2;
/// In place of a time: the clock starts with a request, or with an answer.
const AT_REQUEST: u64 = TIMES;
const AT_ANSWER: u64 = TIMES + 1;
/// In place of a count of doublings: the worker is warm.
const WARM: u64 = 31;
/// In place of a limit: there is none. The gate cannot count further.
const UNLIMITED: u64 = (1 << 30) - 1;

impl Stage {
    /// The limit this stage gives to the gate.
    pub(super) fn limit(self) -> Option<u32> {
        let step = self.filling.map(|filling| 1 << filling.doublings);
        match (self.max, step) {
            (Some(max), Some(step)) => Some(max.min(step)),
            (max, step) => max.or(step),
        }
    }

    /// The limit as a number that can be compared.
    pub(super) fn room(self) -> u32 {
        self.limit().unwrap_or(u32::MAX)
    }

    /// How long it takes until the limit doubles by itself, if its clock runs.
    pub(super) fn left(self, now: Duration) -> Option<Duration> {
        match self.filling?.clock {
            StepClock::Since(since) => {
                let passed = (moment(now) + TIMES - since) % TIMES;
                Some(STEP.saturating_sub(Duration::from_millis(passed)))
            }
            _ => None,
        }
    }

    /// Whether the clock waits for a request.
    pub(super) fn awaits_request(self) -> bool {
        let filling = self.filling;
        filling.is_some_and(|filling| filling.clock == StepClock::AtRequest)
    }

    /// Starts the clock if it waits for a request.
    pub(super) fn clock_started(mut self, now: Duration) -> Self {
        if let Some(filling) = &mut self.filling
            && filling.clock == StepClock::AtRequest
        {
            filling.clock = StepClock::Since(moment(now));
        }
        self
    }

    /// Doubles the limit.
    pub(super) fn doubled(self, now: Duration) -> Self {
        Self {
            filling: self.filling.map(|filling| Filling {
                doublings: filling.doublings + 1,
                clock: StepClock::Since(moment(now)),
            }),
            ..self
        }
    }

    /// Ends the ramp when it has reached its end.
    pub(super) fn settled(self) -> Self {
        let end = self.max.unwrap_or(WARM_WITHOUT_MAX).min(UNLIMITED as u32);
        Self {
            filling: self.filling.filter(|filling| 1 << filling.doublings < end),
            ..self
        }
    }

    /// From above: 30 bits of `max_concurrency`, 5 of doublings, 29 of the clock.
    pub(super) fn pack(self) -> u64 {
        let max = self
            .max
            .map_or(UNLIMITED, |max| u64::from(max).min(UNLIMITED - 1));
        let (doublings, clock) = self.filling.map_or((WARM, 0), |filling| {
            let clock = match filling.clock {
                StepClock::AtRequest => AT_REQUEST,
                StepClock::AtAnswer => AT_ANSWER,
                StepClock::Since(since) => since,
            };
            (u64::from(filling.doublings), clock)
        });
        (max << 34) | (doublings << 29) | clock
    }

    pub(super) fn unpack(word: u64) -> Self {
        let (max, doublings) = (word >> 34, (word >> 29) & WARM);
        let clock = match word & ((1 << 29) - 1) {
            AT_REQUEST => StepClock::AtRequest,
            AT_ANSWER => StepClock::AtAnswer,
            since => StepClock::Since(since),
        };
        Self {
            max: (max != UNLIMITED).then_some(max as u32),
            filling: (doublings != WARM).then_some(Filling {
                doublings: doublings as u32,
                clock,
            }),
        }
    }
}

/// The time as a clock keeps it.
fn moment(now: Duration) -> u64 {
    (now.as_millis() % u128::from(TIMES)) as u64
}
