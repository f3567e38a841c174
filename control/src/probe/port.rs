//! Whose the port of a worker is: asked before anything else is said to whoever listens there.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time::Instant};

use crate::{
    driver::process::{Listener, ProcessTree, holder},
    worker_http::{Cause, Failure},
};

/// How often it is looked where a worker listens instead: that means to look into all its processes.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(1);

/// After so long without a word at its port, the log says where a worker listens instead. Not at
/// once: many open ports among themselves while they load.
const ELSEWHERE_TOLD: Duration = Duration::from_secs(10);

fn wrong(text: String) -> Failure {
    Failure {
        text,
        cause: Cause::Port,
    }
}

/// Watches the port of one worker.
#[derive(Debug)]
pub(super) struct Port {
    /// What people call the worker.
    title: String,
    number: u16,
    processes: ProcessTree,
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Sockets that are the worker's.
    own: Vec<u64>,
    /// The socket of somebody else that was told of, with who it is.
    foreign: Option<(u64, String)>,
    /// When it was looked where else the worker listens, and what was found.
    elsewhere: Option<(Instant, Option<String>)>,
    elsewhere_told: bool,
}

impl Port {
    pub(super) fn new(title: String, number: u16, processes: ProcessTree) -> Self {
        Self {
            title,
            number,
            processes,
            began: Instant::now(),
            seen: Mutex::default(),
        }
    }

    /// Whether the worker listens, or nobody does as far as is known: an error says who listens in its
    /// place.
    pub(super) async fn check(self: &Arc<Self>) -> Result<bool, Failure> {
        let this = Arc::clone(self);
        let checked = spawn_blocking(move || this.check_now()).await;
        checked.map_err(|error| error.to_string())?.map_err(wrong)
    }

    fn check_now(&self) -> Result<bool, String> {
        let known = self.seen.lock().own.clone();
        match self.processes.listener(self.number, &known) {
            Listener::Nobody => Ok(false),
            Listener::Worker(sockets) => {
                let mut seen = self.seen.lock();
                (seen.own, seen.foreign) = (sockets, None);
                Ok(true)
            }
            Listener::Foreign(socket) => Err(self.tell_foreign(socket)),
        }
    }

    fn tell_foreign(&self, socket: u64) -> String {
        let told = self.seen.lock().foreign.clone();
        if let Some((_, reason)) = told.filter(|(known, _)| *known == socket) {
            return reason;
        }
        let reason = format!(
            "port {} is held by {}, which the worker did not start: nothing is sent there \
             (allow_foreign_listener = true allows it)",
            self.number,
            holder(socket)
        );
        tracing::warn!(worker = self.title, "{reason}");
        self.seen.lock().foreign = Some((socket, reason.clone()));
        reason
    }

    /// Where the worker listens instead, to be said of one that nobody reaches at its port.
    pub(super) async fn elsewhere(self: &Arc<Self>) -> Option<Failure> {
        let now = Instant::now();
        let looked = self.seen.lock().elsewhere.clone();
        if let Some((at, found)) = looked
            && now < at + LOOK_ELSEWHERE
        {
            return found.map(wrong);
        }
        let this = Arc::clone(self);
        let found = spawn_blocking(move || this.look_elsewhere()).await.ok()?;
        let mut seen = self.seen.lock();
        seen.elsewhere = Some((now, found.clone()));
        let to_tell = found
            .as_ref()
            .filter(|_| now >= self.began + ELSEWHERE_TOLD);
        if let Some(found) = to_tell.filter(|_| !seen.elsewhere_told) {
            seen.elsewhere_told = true;
            tracing::warn!(worker = self.title, "{found}");
        }
        found.map(wrong)
    }

    fn look_elsewhere(&self) -> Option<String> {
        let addresses = self.processes.addresses();
        if addresses.is_empty() {
            return None;
        }
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Some(format!(
            "the worker does not listen on 127.0.0.1:{} but on {}: its server must be given the port, \
             as {{port}} in the command or by the variable PORT",
            self.number,
            shown.join(" and ")
        ))
    }
}
