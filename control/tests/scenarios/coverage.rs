//! What decisions can say, so that a scenario can be missed.
//!
//! A new variant does not compile before it is named here, and the scenarios fail before one of
//! them leads to it.

use std::collections::BTreeSet;

use penstock_control::scale::{Basis, Clamp, Decision, HoldCause, Pause, Reason};

/// A name for each variant, and the list of all names.
macro_rules! names {
    ($name:ident of $of:ty, all in $all:ident: $($pattern:pat => $text:literal,)*) => {
        const $all: &[&str] = &[$($text),*];

        fn $name(of: &$of) -> &'static str {
            match of {
                $($pattern => $text,)*
            }
        }
    };
}

names! { reason of Reason, all in REASONS:
    Reason::Asleep => "Asleep",
    Reason::Wake { .. } => "Wake",
    Reason::WokenByCopies => "WokenByCopies",
    Reason::Steady => "Steady",
    Reason::LoadRose { .. } => "LoadRose",
    Reason::RuleAsked { .. } => "RuleAsked",
    Reason::LoadExpected { .. } => "LoadExpected",
    Reason::Expecting { .. } => "Expecting",
    Reason::Paced { .. } => "Paced",
    Reason::AtMaximum { .. } => "AtMaximum",
    Reason::LoadFell { .. } => "LoadFell",
    Reason::Settling { .. } => "Settling",
    Reason::Held(_) => "Held",
    Reason::PacedDown => "PacedDown",
    Reason::AtMinimum => "AtMinimum",
    Reason::Idling { .. } => "Idling",
    Reason::Idle { .. } => "Idle",
    Reason::Bounds => "Bounds",
    Reason::Scheduled => "Scheduled",
    Reason::StartFailed => "StartFailed",
    Reason::Advising { .. } => "Advising",
    Reason::Given => "Given",
    Reason::Paused(_) => "Paused by an operator",
    Reason::Scaled(_) => "Scaled by an operator",
    Reason::Removed => "Removed",
    Reason::Shutdown => "Shutdown",
}

names! { clamp of Clamp, all in CLAMPS:
    Clamp::Minimum(_) => "Minimum",
    Clamp::Maximum(_) => "Maximum",
    Clamp::ScheduledMinimum(_) => "ScheduledMinimum",
    Clamp::ScheduledMaximum(_) => "ScheduledMaximum",
    Clamp::UpPace(_) => "UpPace",
    Clamp::DownPace(_) => "DownPace",
    Clamp::DownStep(_) => "DownStep",
}

names! { hold of HoldCause, all in HOLDS:
    HoldCause::ControlStarted => "ControlStarted",
    HoldCause::GatewayStarted => "GatewayStarted",
    HoldCause::GatewaySilent => "GatewaySilent",
    HoldCause::NoGateway => "NoGateway",
}

names! { pause of Pause, all in PAUSES:
    Pause::ScaleOut(_) => "ScaleOut",
    Pause::ScaleIn(_) => "ScaleIn",
    Pause::Tolerance => "Tolerance",
}

names! { rule of Basis, all in RULES:
    Basis::Concurrency { .. } => "concurrency",
    Basis::TargetTracking { .. } => "target_tracking",
    Basis::Step { .. } => "step",
    Basis::NothingTold { .. } => "nothing told",
    Basis::QueueWait { .. } => "queue_wait",
    Basis::Backlog { .. } => "backlog",
    Basis::Forecast { .. } => "forecast",
}

/// What has been said.
#[derive(Debug, Default)]
pub(crate) struct Met(BTreeSet<&'static str>);

impl Met {
    pub(crate) fn take(&mut self, decision: &Decision) {
        self.0.insert(reason(&decision.reason));
        if let Reason::Held(cause) = &decision.reason {
            self.0.insert(hold(cause));
        }
        self.0.extend(decision.clamps.iter().map(clamp));
        for wish in &decision.wishes {
            self.0.insert(rule(&wish.basis));
            let held = match &wish.basis {
                Basis::TargetTracking { held, .. } => held.as_ref().map(|(_, held)| held),
                Basis::Step { held, .. } => held.as_ref(),
                _ => None,
            };
            self.0.extend(held.map(pause));
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What has not been said.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let all = [REASONS, CLAMPS, HOLDS, PAUSES, RULES].concat();
        let missing = all.into_iter().filter(|name| !self.0.contains(name));
        missing.collect()
    }
}
