//! Who of a worker was asked to end, and when it has had its time.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::Instant;

use crate::driver::process::{identity::Identity, tree};

/// From one round of SIGKILL to the next, at first: a process may have been made meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// The same at most: one that hangs in a driver cannot be killed until that lets it go.
const KILL_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Ends the processes of a worker. Each gets SIGTERM once, however often the worker is asked (a second
/// one makes many servers drop what they have), and has the whole grace from then on.
pub(super) struct Ending {
    grace: Duration,
    /// When SIGKILL is due for each process that was asked. Holds living ones only.
    asked: HashMap<Identity, Instant>,
    /// When to look next; `None` while nobody was asked.
    due: Option<Instant>,
    kill_again: Duration,
}

impl Ending {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            asked: HashMap::new(),
            due: None,
            kill_again: KILL_AGAIN,
        }
    }

    /// When [`Self::kill`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Asks every process of the worker that was not asked yet; tells how many those are.
    pub(super) fn ask(&mut self, now: Instant) -> usize {
        let here = below_us();
        self.asked.retain(|process, _| here.contains(process));
        let deadline = now + self.grace;
        let mut count = 0;
        for process in here {
            if let Entry::Vacant(entry) = self.asked.entry(process) {
                entry.key().signal(Signal::TERM);
                entry.insert(deadline);
                count += 1;
            }
        }
        self.due = Some(self.due.map_or(deadline, |due| due.min(deadline)));
        count
    }

    /// Kills every process whose time is over, and those that came after all were asked: they are
    /// the work of one that does not end. Tells how many those are.
    pub(super) fn kill(&mut self, now: Instant) -> usize {
        let here = below_us();
        self.asked.retain(|process, _| here.contains(process));
        let is_over = |process: &&Identity| {
            let deadline = self.asked.get(*process);
            deadline.is_none_or(|deadline| *deadline <= now)
        };
        let over: Vec<&Identity> = here.iter().filter(is_over).collect();
        for process in &over {
            process.signal(Signal::KILL);
        }
        let later = self.asked.values().filter(|deadline| **deadline > now);
        let again = now + self.kill_again;
        self.due = match (later.min(), over.is_empty()) {
            (Some(later), true) => Some(*later),
            (Some(later), false) => Some(again.min(*later)),
            (None, _) => Some(again),
        };
        if !over.is_empty() {
            self.kill_again = (self.kill_again * 2).min(KILL_AGAIN_MAX);
        }
        over.len()
    }

    /// From now on no process has any time left.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.asked.clear();
        self.grace = Duration::ZERO;
        self.due = Some(now);
        self.kill_again = KILL_AGAIN;
    }
}

fn below_us() -> Vec<Identity> {
    let us = rustix::process::getpid().as_raw_nonzero().get();
    tree::descendants(&tree::living(), us)
}
