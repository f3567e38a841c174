//! One deployment, its workers and one gateway in simulated time.
//!
//! Control is the very core that runs in production, in a virtual world. What the gateway does is modelled here
//! in a few lines.

mod control;

use std::time::Duration;

use penstock_config::{
    ConcurrencyRule, DownPace, Rule, Scaling, ScalingMode, UpPace, fleet::LoadReport,
};
pub(crate) use penstock_control::virtual_world::Request;
use penstock_control::{
    core::Key,
    scale::PastDay,
    virtual_world::{Door, Gateway},
};

use self::control::{Control, Order};
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
    pub(crate) past: Vec<PastDay>,
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
            past: Vec::new(),
            wall_ms: 0,
            delay: Duration::from_millis(20),
        }
    }
}

/// From the beginning of time to that of a run.
const BEGIN: Duration = Duration::from_secs(100_000);

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
        let now = BEGIN;
        let mut gateway = Gateway::new(1, now);
        gateway.delay = setup.delay;
        Self {
            now,
            control: Control::new(&setup, now),
            gateway,
            setup,
            bad_network: None,
            last_report: None,
            timeline: Vec::new(),
        }
    }

    /// Time since the beginning of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - BEGIN
    }

    /// Requests that the gateway has: on workers, and waiting.
    pub(crate) fn requests(&self) -> (usize, usize) {
        let door = self.gateway.door(&key());
        door.map_or((0, 0), |door| (door.in_flight(), door.queued()))
    }

    pub(crate) fn arrive(&mut self, request: Request) {
        self.gateway.arrive(&key(), request, self.now);
    }

    /// Lets `step` pass.
    pub(crate) fn step(&mut self, step: Duration) {
        self.now += step;
        let now = self.now;
        let refused = self.gateway.run(now);
        let mut reports = self.gateway.reports_due(now);
        self.disturb(&mut reports);
        let on_workers = self.gateway.door(&key()).map(Door::on_workers);
        let on_workers = on_workers.unwrap_or_default();
        let mut notes = self.control.run(&self.setup, reports, on_workers, now);
        if refused > 0 {
            notes.push(format!("{refused} requests refused"));
        }
        for snapshot in self.control.published.drain(..) {
            self.gateway.publish(&snapshot, now);
        }
        for id in self.control.let_go.drain(..) {
            assert!(
                !self.gateway.may_use(&id),
                "worker {id} was stopped under the gateway's feet"
            );
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
        let order = match change {
            // In-flight requests go on, sums begin at zero.
            Outside::RestartGateway => {
                self.gateway.restart(self.now);
                None
            }
            Outside::GatewayIsSilent(silent) => {
                self.gateway.is_silent = silent;
                None
            }
            Outside::StartsFail(fail) => {
                self.setup.starts_fail = fail;
                None
            }
            Outside::Pages(count) => {
                self.setup.pages = count;
                None
            }
            Outside::Min(min) => {
                scaling.min = min;
                Some(Order::Apply)
            }
            Outside::Max(max) => {
                scaling.max = max;
                Some(Order::Apply)
            }
            Outside::Mode(mode) => {
                scaling.mode = mode;
                Some(Order::Apply)
            }
            // The new one takes over the workers.
            Outside::RestartControl => Some(Order::Restart),
            Outside::Pause => Some(Order::Pause),
            Outside::Resume => Some(Order::Resume),
            Outside::Scale(count) => Some(Order::Scale(count)),
            Outside::Remove => Some(Order::Remove),
            Outside::Shutdown => Some(Order::Shutdown),
        };
        if let Some(order) = order {
            self.control.order(order, &self.setup);
        }
        let time = self.elapsed().as_secs_f64();
        self.timeline.push(format!("{time:9.2}  {change}"));
    }
}

/// The deployment.
pub(crate) fn key() -> Key {
    Key {
        service: "s".try_into().expect("a name"),
        deployment: "d".try_into().expect("a name"),
    }
}
