//! The children that control has because it started them, as opposed to orphans it adopted.
//!
//! Control is a child subreaper like the supervisors. Only what a killed supervisor leaves behind
//! comes to it; such orphans are told from its own children by this list.

use std::{
    collections::HashSet,
    io,
    process::{Child, Command},
    sync::OnceLock,
};

use parking_lot::Mutex;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, set_child_subreaper, waitid, waitpid,
};

use super::{
    identity::Identity,
    supervisor::describe,
    tree::{self, Member},
};

/// Numbers of the supervisors that this process started and did not reap yet. One list for the
/// process, like the children themselves.
static SUPERVISORS: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Whether unknown children can only be orphans of workers.
static ORPHANS_ARE_OURS: OnceLock<bool> = OnceLock::new();

/// Starts a supervisor.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut supervisors = SUPERVISORS.lock();
    let child = command.spawn()?;
    let pid = raw(Pid::from_child(&child));
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

/// Makes orphans of this process's descendants its children, and finds out whether it can tell
/// them: not as the init of a container, nor when it had children before it started any (`sh -c
/// 'other & exec penstock'`), for then orphans may be somebody else's.
///
/// # Errors
///
/// When the kernel refuses.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    let us = rustix::process::getpid();
    let supervisors = SUPERVISORS.lock();
    ORPHANS_ARE_OURS.get_or_init(|| {
        let children = tree::all();
        let mut children = children.iter().filter(|member| member.parent == raw(us));
        raw(us) != 1 && children.all(|child| is_listed(supervisors.as_ref(), child.id.pid))
    });
    drop(supervisors);
    Ok(set_child_subreaper(Some(us))?)
}

/// Every living process, and which of them are orphans of workers: children of this process in
/// another session that are not supervisors. (Whoever else starts children here leaves them in
/// our session.) Orphans that ended are reaped.
pub(crate) fn living_and_orphans() -> (Vec<Member>, Vec<Identity>) {
    // Locked, so that no supervisor is seen that is not in the list yet.
    let supervisors = SUPERVISORS.lock();
    let mut members = tree::all();
    let us = raw(rustix::process::getpid());
    // Read like the others' and not by `getsid`: 0 when our session began outside the container.
    let session = members.iter().find(|member| member.id.pid == us);
    let session = session.map(|us| us.session);
    let can_tell = ORPHANS_ARE_OURS.get() == Some(&true);
    let orphans = members.iter().filter(|member| {
        can_tell
            && member.parent == us
            && session.is_some_and(|session| member.session != session)
            && !is_listed(supervisors.as_ref(), member.id.pid)
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

fn is_listed(supervisors: Option<&HashSet<i32>>, pid: i32) -> bool {
    supervisors.is_some_and(|supervisors| supervisors.contains(&pid))
}

fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}
