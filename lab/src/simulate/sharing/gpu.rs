//! One GPU and the worker that has it.

use std::time::Duration;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gpu {
    pub(super) state: State,
    /// For which service it was given up.
    pub(super) promised: Option<usize>,
    /// Since when its worker has been of use.
    pub(super) ready_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has it.
    #[default]
    Free,
    /// It loads the model of a service.
    Loading(usize),
    /// The worker of a service has nothing to do.
    Idle { service: usize, since: Duration },
    /// It works.
    Busy(usize),
}

impl Gpu {
    pub(super) fn service(&self) -> Option<usize> {
        match self.state {
            State::Free => None,
            State::Loading(service) | State::Busy(service) | State::Idle { service, .. } => {
                Some(service)
            }
        }
    }

    /// Whether somebody has it and was not asked to give it up.
    pub(super) fn stays(&self) -> bool {
        self.state != State::Free && self.promised.is_none()
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy(_))
    }

    pub(super) fn idle_since(&self) -> Option<Duration> {
        match self.state {
            State::Idle { since, .. } => Some(since),
            State::Free | State::Loading(_) | State::Busy(_) => None,
        }
    }

    pub(super) fn load(&mut self, service: usize) {
        *self = Self {
            state: State::Loading(service),
            ..Self::default()
        };
    }

    pub(super) fn loaded(&mut self, now: Duration) {
        if let State::Loading(service) = self.state {
            self.state = State::Idle {
                service,
                since: now,
            };
            self.ready_at = Some(now);
        }
    }

    pub(super) fn serves(&mut self) {
        if let State::Idle { service, .. } = self.state {
            self.state = State::Busy(service);
        }
    }

    /// What it had is done. If it was given up it is free.
    pub(super) fn answered(&mut self, now: Duration) {
        if let State::Busy(service) = self.state {
            self.state = match self.promised {
                Some(_) => State::Free,
                None => State::Idle {
                    service,
                    since: now,
                },
            };
        }
    }

    pub(super) fn give_up(&mut self, to: usize) {
        self.promised = Some(to);
        if !self.is_busy() {
            self.state = State::Free;
        }
    }
}
