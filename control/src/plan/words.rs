//! Why workers drain and stop, for people.

use std::fmt;

use super::{DrainCause, StopCause};

impl fmt::Display for DrainCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Surplus => "not needed any more",
            Self::Outdated => "replaced by a newer revision",
            Self::GivesWay => "it makes room for a newer revision",
            Self::Broken => "it fails its liveness probe",
            Self::Asked => "by hand",
            Self::Preempted => "it is taken away",
            Self::MakesRoom => "it has nothing to do and makes room for another deployment",
            Self::GivesTurn => "it is the turn of another deployment",
        })
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "nothing is left to do",
            Self::DrainDeadline => "it did not finish before its drain deadline",
            Self::StartTimeout => "not ready within start_timeout",
            Self::Unwanted => "not needed any more",
            Self::Broken => "it fails its liveness probe",
            Self::MakesRoom => "it makes room for another deployment",
            Self::SleepFailed => "it could not be put to sleep",
            Self::WakeFailed => "it could not be woken",
            Self::SleptLong => "it has slept for as long as sleep.for says",
            Self::TooManyAsleep => {
                "it has slept longest, and no more than gpus.max_asleep may sleep"
            }
        })
    }
}
