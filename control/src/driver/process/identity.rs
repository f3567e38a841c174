//! Which process is meant: a number alone may belong to somebody else by now.

use std::{io, os::fd::OwnedFd};

use procfs::process::Stat;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

/// A process, told apart from a later one with the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Process number.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub(crate) start: u64,
}

impl Identity {
    /// The process that has this number now, a zombie included.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
        Some(Self {
            pid,
            start: stat.starttime,
        })
    }

    /// A handle on this very process; `None` when it is gone.
    pub(crate) fn open(self) -> Option<Handle> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // The handle keeps the process it was opened for, so looking after opening is in order.
        (Self::of(self.pid) == Some(self)).then_some(Handle { fd })
    }

    /// Whether any of it runs: it is neither gone nor a zombie.
    pub(crate) fn lives(self) -> bool {
        let stat = procfs::process::Process::new(self.pid).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.starttime == self.start && !has_ended(&stat))
    }

    /// Sends a signal to this very process. `false` when it is gone.
    pub(crate) fn signal(self, signal: Signal) -> bool {
        self.open().is_some_and(|handle| handle.signal(signal))
    }
}

/// Whether a process has ended and only waits for its parent to notice. One whose first thread has
/// ended looks like it, but holds its ports and GPUs until the last thread has.
pub(crate) fn has_ended(stat: &Stat) -> bool {
    matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1
}

/// A handle on one process (a pidfd): never means another one, whatever happens to the number.
#[derive(Debug)]
pub(crate) struct Handle {
    fd: OwnedFd,
}

impl Handle {
    /// Sends a signal. `false` when the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.fd, signal).is_ok()
    }

    /// Registers with the runtime, to wait for the end of the process.
    ///
    /// # Errors
    ///
    /// When the runtime cannot take another descriptor.
    pub(crate) fn watch(self) -> io::Result<Watch> {
        #[allow(
            deprecated,
            reason = "deprecated for types whose descriptor may change, which OwnedFd's does not; \
                      the new constructor is unsafe"
        )]
        let fd = AsyncFd::with_interest(self.fd, Interest::READABLE)?;
        Ok(Watch { fd })
    }
}

/// Waits for the end of one process, which need not be a child.
#[derive(Debug)]
pub(crate) struct Watch {
    fd: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Returns once the process has ended; it may be a zombie then.
    pub(crate) async fn ended(&self) {
        // A pidfd stays readable for ever once its process ended. The runtime going away is the
        // only error, and then nobody waits any more.
        let _ = self.fd.readable().await;
    }

    /// Sends a signal. `false` when the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.fd, signal).is_ok()
    }
}
