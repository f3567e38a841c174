//! One deployment, its workers and one gateway in simulated time.
//!
//! `scale`, `plan` and `reports` are the real ones. What `core` does with their results, and
//! what gateway and driver do, is modelled here in a few lines each.

mod control;
mod gateway;

use std::time::Duration;

use penstock_config::{
    ConcurrencyRule, DownPace, Rule, Scaling, ScalingMode, UpPace, fleet::LoadReport,
};
use penstock_control::scale::{Past, Reason};

use self::control::Control;
use self::gateway::Gateway;
pub(crate) use self::gateway::Request;
use crate::{random::Random, script::Outside};

/// What a run consists of.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) scaling: Scaling,
    pub(crate) max_concurrency: u32,
    pub(crate) start: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    /// Workers given by address, in place of all scaling.
    pub(crate) given: Option<u32>,
    pub(crate) starts_fail: bool,
    /// Requests that a worker works on at once; more wait in it, which is what its page tells.
    pub(crate) batch: Option<u32>,
    /// How many workers' pages can be read.
    pub(crate) pages: usize,
    /// The load of the days before.
    pub(crate) past: Option<Past>,
    /// What wall clocks show at the beginning, in milliseconds since 1970.
    pub(crate) wall_ms: u64,
    /// From a change in control to the gateway, and from a report to control.
    pub(crate) delay: Duration,
}

impl Default for Setup {
    /// The defaults of the configuration.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        let rule = ConcurrencyRule {
            target: 10.0,
            window: minute,
            burst_window: Duration::from_secs(2),
            clear_within: None,
            anticipate: 2.0,
            headroom: 2.0,
        };
        Self {
            scaling: Scaling {
                mode: ScalingMode::Act,
                min: 1,
                max: 1000,
                idle_timeout: minute,
                rules: vec![Rule::Concurrency(rule)],
                up: UpPace {
                    percent: UpPace::NO_LIMIT,
                    period: minute,
                    burst_from_zero: false,
                },
                down: DownPace {
                    stable_for: None,
                    step: DownPace::NO_LIMIT,
                    percent: 100,
                    period: minute,
                },
            },
            max_concurrency: 14,
            start: Duration::from_secs(5),
            start_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(30),
            given: None,
            starts_fail: false,
            batch: None,
            pages: usize::MAX,
            past: None,
            wall_ms: 0,
            delay: Duration::from_millis(20),
        }
    }
}

/// The whole simulation.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) control: Control,
    pub(crate) gateway: Gateway,
    setup: Setup,
    /// When set, reports get lost and come twice or late.
    pub(crate) bad_network: Option<Random>,
    last_report: Option<LoadReport>,
    /// What happened, with its time.
    pub(crate) timeline: Vec<String>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = Duration::from_secs(100_000);
        let mut control = Control::new(setup.scaling.min, now);
        control.remember(&setup);
        Self {
            now,
            control,
            gateway: Gateway::new(1, now),
            setup,
            bad_network: None,
            last_report: None,
            timeline: Vec::new(),
        }
    }

    fn wall_ms(&self) -> u64 {
        self.setup.wall_ms + self.elapsed().as_millis() as u64
    }

    /// Time since the beginning of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - Duration::from_secs(100_000)
    }

    pub(crate) fn arrive(&mut self, request: Request) {
        self.gateway.arrive(request, self.now);
    }

    /// Lets `step` pass.
    pub(crate) fn step(&mut self, step: Duration) {
        self.now += step;
        let now = self.now;
        self.gateway.run(&self.setup, &self.control.published, now);
        let mut reports = self.gateway.reports_due(self.setup.delay, now);
        self.disturb(&mut reports);
        let mut notes = self.control.run(&self.setup, reports, self.wall_ms(), now);
        for id in self.control.let_go.drain(..) {
            assert!(
                !self.gateway.may_use(&id),
                "worker {id} was stopped under the gateway's feet"
            );
        }
        if self.control.published.refused {
            let refused = self.gateway.refuse_all(now);
            if refused > 0 {
                notes.push(format!("{refused} requests refused"));
            }
        }
        for id in self.control.ended.drain(..) {
            let cut = self.gateway.lose(&id);
            if cut > 0 {
                notes.push(format!("{cut} requests cut off"));
            }
        }
        let time = self.elapsed().as_secs_f64();
        self.timeline
            .extend(notes.into_iter().map(|note| format!("{time:9.2}  {note}")));
    }

    /// Loses and repeats reports, as a network may.
    fn disturb(&mut self, reports: &mut Vec<LoadReport>) {
        let Some(random) = &mut self.bad_network else {
            return;
        };
        let mut arriving = Vec::new();
        for report in reports.drain(..) {
            match random.below(8) {
                0 => {}
                1 => arriving.extend([report.clone(), report]),
                2 => arriving.extend(self.last_report.iter().cloned().chain([report])),
                _ => arriving.push(report),
            }
        }
        self.last_report = arriving.last().cloned().or_else(|| self.last_report.take());
        *reports = arriving;
    }

    /// Something changes that is not the load.
    pub(crate) fn change(&mut self, change: Outside) {
        let scaling = &mut self.setup.scaling;
        match change {
            // In-flight requests go on, sums begin at zero.
            Outside::RestartGateway => self.gateway.restart(self.now),
            // The new one takes over the workers.
            Outside::RestartControl => self.control.restart(&self.setup, self.now),
            Outside::GatewayIsSilent(silent) => self.gateway.silent = silent,
            Outside::StartsFail(fail) => self.setup.starts_fail = fail,
            Outside::Pages(count) => self.setup.pages = count,
            Outside::Min(min) => scaling.min = min,
            Outside::Max(max) => scaling.max = max,
            Outside::Pause => self.control.end = Some(Reason::Paused(": new GPUs".into())),
            Outside::Resume => self.control.end = None,
            Outside::Scale(count) => self.control.scale_by_hand(count, self.now),
            Outside::Mode(mode) => scaling.mode = mode,
            Outside::Remove => self.control.end = Some(Reason::Removed),
            Outside::Shutdown => self.control.end = Some(Reason::Shutdown),
        }
        let time = self.elapsed().as_secs_f64();
        self.timeline.push(format!("{time:9.2}  {change}"));
    }
}
