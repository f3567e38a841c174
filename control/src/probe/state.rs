//! What the results of probes mean: told the time and the results, asks nobody.

use std::time::Duration;

use penstock_config::{Probe, ProbeKind, Probes};

/// From one probe to the next while a worker was never ready.
const STARTING_PERIOD: Duration = Duration::from_millis(100);

/// The same for commands, so that they do not take the processor from a worker that loads.
const STARTING_PERIOD_EXEC: Duration = Duration::from_secs(1);

/// Which of the three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Startup,
    Ready,
    Live,
}

/// What became of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Ready,
    NotReady(String),
    LivenessFailed(String),
}

/// The probes of one worker. All times are since its start.
///
/// Startup must pass once before the other two begin. Liveness begins when startup passed or,
/// without a startup probe, when the worker was ready for the first time: one that takes long to
/// load is not killed for it.
#[derive(Debug)]
pub(crate) struct State {
    startup: Option<Track>,
    ready: Option<Track>,
    live: Option<Track>,
    /// Startup passed, or there is none.
    started: bool,
    is_ready: bool,
    was_ready: bool,
}

/// One probe of a worker.
#[derive(Debug)]
struct Track {
    period: Duration,
    /// The period while the worker was never ready.
    starting_period: Duration,
    limit: u32,
    /// When the next one is due.
    due: Duration,
    /// When the running one began.
    running_since: Option<Duration>,
    /// Failures in a row.
    failures: u32,
    /// The worker showed another way that it is well while the probe ran.
    excused: bool,
}

impl State {
    pub(crate) fn new(probes: &Probes) -> Self {
        Self {
            startup: probes.startup.as_ref().map(Track::new),
            ready: probes.ready.as_ref().map(Track::new),
            live: probes.live.as_ref().map(Track::new),
            started: probes.startup.is_none(),
            is_ready: false,
            was_ready: false,
        }
    }

    /// What holds from the start: a worker that nothing asks is ready.
    pub(crate) fn begin(&mut self) -> Option<Change> {
        self.passed_without_probe(Duration::ZERO)
    }

    /// The probes to begin now; each counts as running until its result is told.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<Kind> {
        let mut due = Vec::new();
        for kind in self.waiting() {
            if let Some(track) = self.track(kind)
                && track.due <= now
            {
                track.running_since = Some(now);
                track.excused = false;
                due.push(kind);
            }
        }
        due
    }

    /// When the next probe is due; `None` while all run or none will come.
    pub(crate) fn wake_at(&mut self) -> Option<Duration> {
        let waiting = self.waiting();
        let due = waiting
            .into_iter()
            .filter_map(|kind| Some(self.track(kind)?.due));
        due.min()
    }

    /// The worker answered a request: that is a passed liveness probe.
    pub(crate) fn traffic(&mut self, now: Duration) {
        if let Some(live) = &mut self.live {
            live.failures = 0;
            live.excused = true;
            live.due = live.due.max(now + live.period);
        }
    }

    /// The result of a probe that was running, an error with the reason.
    pub(crate) fn result(
        &mut self,
        kind: Kind,
        result: Result<(), String>,
        now: Duration,
    ) -> Option<Change> {
        match kind {
            Kind::Startup => self.startup_result(result.is_ok(), now),
            Kind::Ready => self.ready_result(result, now),
            Kind::Live => self.live_result(result, now),
        }
    }

    /// A probe that was running could not be made, through no fault of the worker's: neither passed nor
    /// failed.
    pub(crate) fn not_asked(&mut self, kind: Kind, now: Duration) {
        let was_ready = self.was_ready;
        if let Some(track) = self.track(kind) {
            let period = match was_ready {
                true => track.period,
                false => track.starting_period,
            };
            track.ended(period, now);
        }
    }

    fn startup_result(&mut self, passed: bool, now: Duration) -> Option<Change> {
        let startup = self.startup.as_mut()?;
        startup.ended(startup.starting_period, now);
        if !passed || self.started {
            return None;
        }
        self.started = true;
        if let Some(ready) = &mut self.ready {
            ready.due = ready.due.max(now);
        }
        if let Some(live) = &mut self.live {
            live.due = live.due.max(now + live.period);
        }
        self.passed_without_probe(now)
    }

    fn ready_result(&mut self, result: Result<(), String>, now: Duration) -> Option<Change> {
        let was_ready = self.was_ready;
        let ready = self.ready.as_mut()?;
        match result {
            Ok(()) => {
                ready.ended(ready.period, now);
                ready.failures = 0;
                self.become_ready(now)
            }
            Err(reason) => {
                let period = if was_ready {
                    ready.period
                } else {
                    ready.starting_period
                };
                ready.ended(period, now);
                ready.failures = ready.failures.saturating_add(1);
                let lost = self.is_ready && ready.failures >= ready.limit;
                self.is_ready &= !lost;
                lost.then_some(Change::NotReady(reason))
            }
        }
    }

    fn live_result(&mut self, result: Result<(), String>, now: Duration) -> Option<Change> {
        let live = self.live.as_mut()?;
        live.ended(live.period, now);
        match result {
            Err(reason) if !live.excused => {
                live.failures = live.failures.saturating_add(1);
                if live.failures < live.limit {
                    return None;
                }
                // Told once; the worker will be replaced.
                self.live = None;
                Some(Change::LivenessFailed(reason))
            }
            _ => {
                live.failures = 0;
                None
            }
        }
    }

    fn passed_without_probe(&mut self, now: Duration) -> Option<Change> {
        if self.started && self.ready.is_none() {
            self.become_ready(now)
        } else {
            None
        }
    }

    fn become_ready(&mut self, now: Duration) -> Option<Change> {
        if self.is_ready {
            return None;
        }
        if !self.was_ready
            && let Some(live) = &mut self.live
        {
            live.due = live.due.max(now + live.period);
        }
        self.is_ready = true;
        self.was_ready = true;
        Some(Change::Ready)
    }

    /// The probes that have begun and do not run.
    fn waiting(&mut self) -> Vec<Kind> {
        let kinds = match self.started {
            false => vec![Kind::Startup],
            true if self.startup.is_some() || self.was_ready => vec![Kind::Ready, Kind::Live],
            true => vec![Kind::Ready],
        };
        let mut waiting = kinds;
        waiting.retain(|&kind| {
            let track = self.track(kind);
            track.is_some_and(|track| track.running_since.is_none())
        });
        waiting
    }

    fn track(&mut self, kind: Kind) -> Option<&mut Track> {
        match kind {
            Kind::Startup => self.startup.as_mut(),
            Kind::Ready => self.ready.as_mut(),
            Kind::Live => self.live.as_mut(),
        }
    }
}

impl Track {
    fn new(probe: &Probe) -> Self {
        let starting_period = match probe.kind {
            ProbeKind::Exec(_) => STARTING_PERIOD_EXEC,
            ProbeKind::Http { .. } | ProbeKind::Tcp | ProbeKind::Loaded | ProbeKind::Grpc(_) => {
                STARTING_PERIOD
            }
        };
        Self {
            period: probe.period,
            starting_period: starting_period.min(probe.period),
            limit: probe.failures,
            due: probe.initial_delay,
            running_since: None,
            failures: 0,
            excused: false,
        }
    }

    /// Periods are from beginning to beginning, but one probe never overlaps the next.
    fn ended(&mut self, period: Duration, now: Duration) {
        let begun = self.running_since.take().unwrap_or(now);
        self.due = self.due.max(begun + period).max(now);
    }
}

#[cfg(test)]
mod tests;
