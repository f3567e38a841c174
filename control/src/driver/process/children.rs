//! The children that control has because it started them, as opposed to orphans it adopted.
//!
//! Control is a child subreaper like the supervisors. Only what a killed supervisor leaves behind
//! comes to it; such orphans are told from its own children by this list.

use std::{
    collections::HashSet,
    io,
    process::{Child, Command},
};

use parking_lot::Mutex;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, getsid, waitid, waitpid};

use super::{
    identity::Identity,
    supervisor::describe,
    tree::{self, Member},
};

/// Numbers of the supervisors that this process started and did not reap yet. One list for the
/// process, like the children themselves.
static SUPERVISORS: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Starts a supervisor.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut supervisors = SUPERVISORS.lock();
    let child = command.spawn()?;
    let pid = Pid::from_child(&child).as_raw_nonzero().get();
    supervisors.get_or_insert_default().insert(pid);
    Ok(child)
}

/// How a supervisor ended; `None` when it runs, or is no child of this process. Leaves it to be
/// reaped.
pub(crate) fn how_ended(supervisor: Identity) -> Option<String> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let pid = Pid::from_raw(supervisor.pid)?;
    let status = waitid(WaitId::Pid(pid), options).ok()??;
    Some(describe(status.exit_status(), status.terminating_signal()))
}

/// Reaps a supervisor that ended, if it was a child of this process.
pub(crate) fn reap(supervisor: Identity) {
    let mut supervisors = SUPERVISORS.lock();
    if let Some(supervisors) = supervisors.as_mut()
        && supervisors.contains(&supervisor.pid)
        && let Ok(Some(_)) = waitpid(Pid::from_raw(supervisor.pid), WaitOptions::NOHANG)
    {
        supervisors.remove(&supervisor.pid);
    }
}

/// Every living process, and which of them are orphans that this process adopted: children in
/// another session that are not supervisors. Whoever else starts children here leaves them in
/// our session. Orphans that ended are reaped.
pub(crate) fn living_and_orphans() -> (Vec<Member>, Vec<Identity>) {
    // Locked, so that no supervisor is seen that is not in the list yet.
    let supervisors = SUPERVISORS.lock();
    let mut members = tree::all();
    let us = rustix::process::getpid().as_raw_nonzero().get();
    let session = getsid(None)
        .ok()
        .map(|session| session.as_raw_nonzero().get());
    let is_supervisor = |pid| {
        supervisors
            .as_ref()
            .is_some_and(|known| known.contains(&pid))
    };
    let orphans = members.iter().filter(|member| {
        let elsewhere = session.is_some_and(|session| member.session != session);
        member.parent == us && elsewhere && !is_supervisor(member.id.pid)
    });
    // The supervisor of a worker of some control below us that crashed is no orphan: it waits to
    // be adopted.
    let orphans = orphans.filter(|member| member.zombie || !tree::is_supervisor(member.id));
    let (ended, orphans): (Vec<_>, Vec<_>) = orphans.copied().partition(|orphan| orphan.zombie);
    for orphan in ended {
        let _ = waitpid(Pid::from_raw(orphan.id.pid), WaitOptions::NOHANG);
    }
    members.retain(|member| !member.zombie);
    (members, orphans.iter().map(|orphan| orphan.id).collect())
}
