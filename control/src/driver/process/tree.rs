//! Which processes belong to a worker.
//!
//! A worker lives below its supervisor, which adopts every orphan of it, so parents lead to all
//! of its processes as long as the supervisor lives. Should the supervisor be killed, its session
//! and the marker in the environment are left. The marker alone would not do: programs that set
//! their own title (Ray does) overwrite the memory that `/proc/PID/environ` shows.

use std::collections::{HashMap, HashSet};

use procfs::process::all_processes;

use super::identity::{Identity, has_ended};

/// Environment variable that names the worker a process belongs to.
pub(crate) const WORKER: &str = "PENSTOCK_WORKER";
/// Environment variable that names the installation that started the worker, so that two on one
/// machine leave each other's workers alone.
pub(crate) const INSTALLATION: &str = "PENSTOCK_INSTALLATION";

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Which process.
    pub(crate) id: Identity,
    /// Number of its parent.
    pub(crate) parent: i32,
    /// Number of its session: that of the process that made it.
    pub(crate) session: i32,
    /// It ended and waits for its parent to notice.
    pub(crate) zombie: bool,
}

/// Every process, zombies included.
pub(crate) fn all() -> Vec<Member> {
    let Ok(processes) = all_processes() else {
        return Vec::new();
    };
    let stats = processes.filter_map(|process| process.ok()?.stat().ok());
    stats
        .map(|stat| Member {
            id: Identity {
                pid: stat.pid,
                start: stat.starttime,
            },
            parent: stat.ppid,
            session: stat.session,
            zombie: has_ended(&stat),
        })
        .collect()
}

/// Every living process. A zombie has neither children nor memory.
pub(crate) fn living() -> Vec<Member> {
    let mut members = all();
    members.retain(|member| !member.zombie);
    members
}

/// All descendants of the process `root`, which is not among them.
pub(crate) fn descendants(living: &[Member], root: i32) -> Vec<Identity> {
    let Some(root) = living.iter().find(|member| member.id.pid == root) else {
        return Vec::new();
    };
    let mut family = family(living, HashSet::from([root.id]), &HashSet::new());
    family.remove(&root.id);
    family.into_iter().collect()
}

/// `seeds`, the members of `sessions`, and all descendants of either.
pub(crate) fn family(
    living: &[Member],
    seeds: HashSet<Identity>,
    sessions: &HashSet<i32>,
) -> HashSet<Identity> {
    let mut children: HashMap<i32, Vec<Identity>> = HashMap::new();
    for member in living {
        children.entry(member.parent).or_default().push(member.id);
    }
    let in_session = living
        .iter()
        .filter(|member| sessions.contains(&member.session));
    let mut family = seeds;
    family.extend(in_session.map(|member| member.id));
    let mut unseen: Vec<Identity> = family.iter().copied().collect();
    while let Some(parent) = unseen.pop() {
        for &child in children.get(&parent.pid).into_iter().flatten() {
            // Processes come and go while the list is read. One that is older than its parent
            // has another parent in truth.
            if child.start >= parent.start && family.insert(child) {
                unseen.push(child);
            }
        }
    }
    family
}

/// The worker of `installation` that a process says it belongs to. `None` when it does not say,
/// or when its environment may not be read: then it is somebody else's.
pub(crate) fn marked(process: Identity, installation: &str) -> Option<String> {
    let environ = procfs::process::Process::new(process.pid)
        .ok()?
        .environ()
        .ok()?;
    let value = |name: &str| environ.get(std::ffi::OsStr::new(name))?.to_str();
    let ours = value(INSTALLATION) == Some(installation);
    let worker = value(WORKER).filter(|_| ours)?.to_owned();
    // Not another process that got the number in between.
    (Identity::of(process.pid) == Some(process)).then_some(worker)
}

/// Whether a process is a supervisor, of whatever installation.
pub(crate) fn is_supervisor(process: Identity) -> bool {
    let command = procfs::process::Process::new(process.pid).and_then(|process| process.cmdline());
    command.is_ok_and(|words| words.get(1).is_some_and(|word| word == super::SUPERVISE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: i32, start: u64, parent: i32, session: i32) -> Member {
        Member {
            id: Identity { pid, start },
            parent,
            session,
            zombie: false,
        }
    }

    fn pids(family: impl IntoIterator<Item = Identity>) -> Vec<i32> {
        let mut pids: Vec<i32> = family.into_iter().map(|id| id.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn descendants_are_found_whatever_their_session() {
        let living = [
            member(1, 0, 0, 1),
            member(10, 5, 1, 10),
            member(11, 6, 10, 10),
            member(12, 7, 11, 12),
            member(20, 5, 1, 20),
        ];
        assert_eq!(pids(descendants(&living, 10)), [11, 12]);
    }

    #[test]
    fn a_process_older_than_its_supposed_parent_is_left_alone() {
        let living = [member(10, 50, 1, 10), member(11, 6, 10, 11)];
        assert!(descendants(&living, 10).is_empty());
    }

    #[test]
    fn a_session_leads_to_processes_whose_parent_is_gone_and_to_their_children() {
        let living = [
            member(11, 6, 1, 10),
            member(12, 7, 11, 12),
            member(20, 5, 1, 20),
        ];
        let family = family(&living, HashSet::new(), &HashSet::from([10]));
        assert_eq!(pids(family), [11, 12]);
    }
}
