//! The access log that is in force.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwapOption, Guard};

use super::AccessLog;

/// The access log, when there is one; swapped whole. Requests of a gateway without one pay for a look
/// at a flag.
pub(crate) struct CurrentLog {
    is_on: AtomicBool,
    log: ArcSwapOption<AccessLog>,
}

impl CurrentLog {
    /// Begins with `log`.
    pub(crate) fn new(log: Option<Arc<AccessLog>>) -> Self {
        Self {
            is_on: AtomicBool::new(log.is_some()),
            log: ArcSwapOption::new(log),
        }
    }

    /// Whether there is one. A request that begins while that changes may go by either.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The log.
    pub(crate) fn load(&self) -> Guard<Option<Arc<AccessLog>>> {
        self.log.load()
    }

    /// Takes it away.
    pub(crate) fn take(&self) -> Option<Arc<AccessLog>> {
        self.is_on.store(false, Ordering::Relaxed);
        self.log.swap(None)
    }

    /// From now on requests are written to `log`.
    pub(crate) fn store(&self, log: Option<Arc<AccessLog>>) {
        let is_on = log.is_some();
        self.log.store(log);
        self.is_on.store(is_on, Ordering::Relaxed);
    }
}
