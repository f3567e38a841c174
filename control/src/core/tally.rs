//! What there is to tell the page of metrics: only what is new, so that the thousands of deployments
//! where nothing happens cost nothing.

use penstock_config::DeploymentName;

use crate::{
    rollout::{Run, Stage},
    scale::Reason,
};

/// Worker states that are counted, in the order of [`Metric::Workers`].
pub const STATES: [&str; 5] = ["starting", "ready", "not_ready", "draining", "stopping"];

/// Something about a deployment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Workers in each of the [`STATES`].
    Workers([u32; STATES.len()]),
    /// Workers there should be.
    Desired(u32),
    /// Whether an operator has stopped it.
    Paused(bool),
    /// Workers there would be, where scaling only advises or did.
    Advised(u32),
    /// The desired count changed, for the reason with this label.
    Decided(&'static str),
    /// A worker became ready after so many seconds.
    Started(f64),
    /// A start failed.
    StartFailed(StartFailure),
    /// A worker ended without being asked to.
    Exited(ExitReason),
    /// A worker's own metrics were read, or not all of them.
    Scraped(bool),
    /// A worker made room for another deployment; whether it was idle.
    MadeRoom(bool),
    /// GPUs that its workers have.
    Gpus(u32),
    /// What its workers cost in an hour now, what they have cost since the last time, and of that what they
    /// cost while they were ready and had nothing to do.
    Cost([f64; 3]),
}

/// Why a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailure {
    /// It could not be started at all.
    NotStarted,
    /// It ended before it proved good.
    Crashed,
    /// It was not ready in time.
    TimedOut,
    /// It failed its liveness probe before it was ready.
    Liveness,
}

impl StartFailure {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Liveness => "liveness",
        }
    }
}

/// How a worker ended that was not asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// With status 0.
    Success,
    /// With another status.
    Status,
    /// By a signal.
    Signal,
    /// Because it needed more memory than it may have.
    OutOfMemory,
    /// Nobody knows how.
    Unknown,
}

impl ExitReason {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Success => "exit_0",
            Self::Status => "exit_status",
            Self::Signal => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::Unknown => "unknown",
        }
    }

    /// By the words of the driver.
    pub(crate) fn of(reason: &str) -> Self {
        if let Some(status) = reason.strip_prefix("exit status ") {
            let digits = status.find(|c: char| !c.is_ascii_digit());
            let number = &status[..digits.unwrap_or(status.len())];
            return if number == "0" {
                Self::Success
            } else {
                Self::Status
            };
        }
        if reason.starts_with("out of memory") {
            Self::OutOfMemory
        } else if reason.starts_with("killed by ") {
            Self::Signal
        } else {
            Self::Unknown
        }
    }
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutTold {
    /// The deployment that is rolled out.
    pub deployment: DeploymentName,
    /// Its share of the traffic, in percent.
    pub share: u32,
    /// Steps taken.
    pub steps_taken: usize,
    /// The word for its state.
    pub state: &'static str,
    /// How often it was judged, since it began or control did.
    pub looks: u64,
    /// Whether it was taken back.
    pub rolled_back: bool,
}

impl RolloutTold {
    pub(super) fn of(deployment: &DeploymentName, run: &Run) -> Self {
        let memory = &run.memory;
        Self {
            deployment: deployment.clone(),
            share: memory.share(),
            steps_taken: memory.taken,
            state: memory.stage.name(),
            looks: run.looks(),
            rolled_back: matches!(memory.stage, Stage::RolledBack(_)),
        }
    }
}

/// What is to be told of one deployment, and what was told last.
#[derive(Debug, Default)]
pub(super) struct Tally {
    news: Vec<Metric>,
    workers: [u32; STATES.len()],
    desired: Option<u32>,
    paused: Option<bool>,
    advised: Option<u32>,
    gpus: u32,
}

impl Tally {
    /// What is new since the last time.
    pub(super) fn take(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.news)
    }

    /// Counts workers by the words for their states.
    pub(super) fn workers<'a>(&mut self, states: impl Iterator<Item = &'a str>) {
        let mut counts = [0; STATES.len()];
        for state in states {
            if let Some(place) = STATES.iter().position(|known| *known == state) {
                counts[place] += 1;
            }
        }
        if counts != self.workers {
            self.workers = counts;
            self.news.push(Metric::Workers(counts));
        }
    }

    pub(super) fn desired(&mut self, desired: u32) {
        if self.desired.replace(desired) != Some(desired) {
            self.news.push(Metric::Desired(desired));
        }
    }

    pub(super) fn paused(&mut self, paused: bool) {
        if self.paused.replace(paused) != Some(paused) {
            self.news.push(Metric::Paused(paused));
        }
    }

    /// What is advised; `None` where decisions are followed.
    pub(super) fn advised(&mut self, advised: Option<u32>) {
        if advised.is_none() && self.advised.is_none() {
            return;
        }
        // What is followed is what would be advised.
        let count = advised.or(self.desired).unwrap_or(0);
        if self.advised.replace(count) != Some(count) {
            self.news.push(Metric::Advised(count));
        }
    }

    /// The desired count changed.
    pub(super) fn decided(&mut self, reason: &Reason) {
        self.news.push(Metric::Decided(reason.label()));
    }

    pub(super) fn started(&mut self, seconds: f64) {
        self.news.push(Metric::Started(seconds));
    }

    /// GPUs that its workers have.
    pub(super) fn gpus(&mut self, gpus: u32) {
        if std::mem::replace(&mut self.gpus, gpus) != gpus {
            self.news.push(Metric::Gpus(gpus));
        }
    }

    /// What its workers cost.
    pub(super) fn cost(&mut self, cost: [f64; 3]) {
        self.news.push(Metric::Cost(cost));
    }

    /// A worker made room for another deployment.
    pub(super) fn made_room(&mut self, is_idle: bool) {
        self.news.push(Metric::MadeRoom(is_idle));
    }

    pub(super) fn scraped(&mut self, well: bool) {
        self.news.push(Metric::Scraped(well));
    }

    pub(super) fn start_failed(&mut self, why: StartFailure) {
        self.news.push(Metric::StartFailed(why));
    }

    /// A worker ended without being asked to.
    pub(super) fn worker_exited(&mut self, how: ExitReason) {
        self.news.push(Metric::Exited(how));
    }
}

#[cfg(test)]
mod tests {
    use super::ExitReason::{self, OutOfMemory, Signal, Status, Success, Unknown};

    #[test]
    fn an_exit_is_counted_by_the_words_of_the_driver_and_not_by_those_of_the_worker() {
        for (reason, expected) in [
            ("exit status 0", Success),
            ("exit status 0: killed by fate", Success),
            ("exit status 1", Status),
            ("exit status 137: out of memory", Status),
            ("killed by SIGSEGV", Signal),
            ("out of memory, killed at its limit of 1GiB", OutOfMemory),
            ("the supervisor was killed", Unknown),
        ] {
            assert_eq!(ExitReason::of(reason), expected, "{reason}");
        }
    }
}
