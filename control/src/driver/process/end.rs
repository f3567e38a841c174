//! Ends what the supervisors did not: used when one was killed, hangs, or is not wanted any more.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    children,
    identity::Identity,
    tree::{self, Member},
};

/// From one look to the next at first, and at most.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// After this long the log says that something will not end.
const LONG: Duration = Duration::from_secs(10);

/// How long unknown workers have from SIGTERM to SIGKILL.
const UNKNOWN_GRACE: Duration = Duration::from_secs(5);

/// What is left of workers.
#[derive(Debug, Default)]
struct Left {
    /// Their supervisors. Ended last: while they live, they keep the rest together.
    supervisors: Vec<Identity>,
    /// Everything else.
    others: Vec<Identity>,
}

impl Left {
    fn next(&self) -> &[Identity] {
        match self.others.as_slice() {
            [] => &self.supervisors,
            others => others,
        }
    }
}

/// Ends all that is left of one worker and returns when nothing is.
///
/// `supervisor` may be a zombie, but must not be reaped, or its session number may be another's;
/// `None` when that is not sure. Then only marked processes and those around them are found.
pub(crate) async fn worker(id: &str, installation: &str, supervisor: Option<Identity>) {
    let (id, installation) = (id.to_owned(), installation.to_owned());
    let is_it = move |worker: &str| worker == id;
    let sessions = supervisor.map(|supervisor| supervisor.pid).into_iter();
    let sessions: HashSet<i32> = sessions.collect();
    end(move || left(&sessions, &installation, &is_it)).await;
}

/// Asks every worker of `installation` that is not `known` to end, then makes it. Gives the ids
/// of those that were there.
pub(crate) async fn unknown(known: HashSet<String>, installation: String) -> Vec<String> {
    let (marked, installation) = spawn_blocking(move || {
        let workers = tree::living();
        let workers = workers.iter().filter_map(|member| {
            let worker = tree::marked(member.id, &installation)?;
            (!known.contains(&worker)).then_some((member.id, worker))
        });
        (workers.collect::<HashMap<_, _>>(), installation)
    })
    .await
    .expect("looking at processes does not panic");
    for process in marked.keys() {
        process.signal(Signal::TERM);
    }
    let ids: HashSet<String> = marked.values().cloned().collect();
    let deadline = Instant::now() + UNKNOWN_GRACE;
    let mut pause = LOOK_AGAIN;
    while Instant::now() < deadline && marked.keys().any(|process| process.open().is_some()) {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN_MAX / 10);
    }
    let gone = ids.clone();
    let is_one = move |worker: &str| gone.contains(worker);
    end(move || left(&HashSet::new(), &installation, &is_one)).await;
    ids.into_iter().collect()
}

/// Kills until nothing is found any more.
async fn end(find: impl Fn() -> Left + Send + Sync + 'static) {
    let find = std::sync::Arc::new(find);
    let (begin, mut pause, mut told) = (Instant::now(), LOOK_AGAIN, false);
    loop {
        let look = std::sync::Arc::clone(&find);
        let left = spawn_blocking(move || {
            let left = look();
            for process in left.next() {
                process.signal(Signal::KILL);
            }
            left
        })
        .await
        .expect("looking at processes does not panic");
        if left.next().is_empty() {
            return;
        }
        if begin.elapsed() > LONG && !told {
            told = true;
            let pids: Vec<i32> = left.next().iter().map(|process| process.pid).collect();
            tracing::warn!(
                ?pids,
                "processes of a worker do not end, not even by SIGKILL"
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN_MAX);
    }
}

/// What is left of the workers that `is_it` tells, of members of `sessions`, and of orphans that
/// came to control.
fn left(sessions: &HashSet<i32>, installation: &str, is_it: &dyn Fn(&str) -> bool) -> Left {
    let (living, orphans) = children::living_and_orphans();
    let marked = living.iter().filter(|member| {
        tree::marked(member.id, installation).is_some_and(|worker| is_it(&worker))
    });
    let marked: HashSet<Identity> = marked.map(|member| member.id).collect();
    // A session that a marked process leads was made by it, so that all of it belongs to the
    // worker.
    let leading = living
        .iter()
        .filter(|member| leads(member) && marked.contains(&member.id));
    let sessions = sessions
        .iter()
        .copied()
        .chain(leading.map(|member| member.session))
        .collect();
    let seeds = orphans.into_iter().chain(marked).collect();
    let family = tree::family(&living, seeds, &sessions);
    let is_supervisor = |member: &Member| leads(member) && sessions.contains(&member.session);
    let supervisors: HashSet<Identity> = living
        .iter()
        .filter(|member| is_supervisor(member))
        .map(|member| member.id)
        .collect();
    let (supervisors, others) = family.into_iter().partition(|id| supervisors.contains(id));
    Left {
        supervisors,
        others,
    }
}

/// Whether a process made the session it is in.
fn leads(member: &Member) -> bool {
    member.session == member.id.pid
}
