//! Ends what the supervisors did not: used when one was killed, hangs, or is not wanted any more.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{children, identity::Identity, tree};

/// From one look to the next at first, and at most.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// After this long the log says that something will not end.
const LONG: Duration = Duration::from_secs(10);

/// How long unknown workers have from SIGTERM to SIGKILL.
const UNKNOWN_GRACE: Duration = Duration::from_secs(5);

/// Rounds in which only what is below supervisors is killed. More than it takes unless something
/// else starts the processes anew.
const SPARING_ROUNDS: u32 = 20;

/// What is left of workers.
#[derive(Debug, Default)]
struct Left {
    /// Their supervisors. Ended last: while they live, they keep the rest together.
    supervisors: Vec<Identity>,
    /// Everything else.
    others: Vec<Identity>,
}

impl Left {
    fn next(&self, round: u32) -> Vec<Identity> {
        match self.others.as_slice() {
            [] => self.supervisors.clone(),
            others if round < SPARING_ROUNDS => others.to_vec(),
            others => [others, &self.supervisors].concat(),
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
    end(move || left(supervisor, &installation, &is_it)).await;
}

/// Asks every worker of `installation` that is not known to end, then makes it. Gives the ids of
/// those that were there.
pub(crate) async fn unknown(
    is_known: impl Fn(&str) -> bool + Send + 'static,
    installation: String,
) -> Vec<String> {
    let looking = installation.clone();
    let marked = spawn_blocking(move || {
        let members = tree::living();
        let unknown = members.iter().filter_map(|member| {
            let worker = tree::marked(member.id, &looking)?;
            (!is_known(&worker)).then_some((member.id, worker))
        });
        unknown.collect::<Vec<_>>()
    })
    .await
    .unwrap_or_default();
    for (process, _) in &marked {
        process.signal(Signal::TERM);
    }
    let deadline = Instant::now() + UNKNOWN_GRACE;
    let mut pause = LOOK_AGAIN;
    while Instant::now() < deadline && marked.iter().any(|(process, _)| process.lives()) {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN_MAX / 10);
    }
    let ids: HashSet<String> = marked.into_iter().map(|(_, worker)| worker).collect();
    let gone = ids.clone();
    let is_one = move |worker: &str| gone.contains(worker);
    end(move || left(None, &installation, &is_one)).await;
    ids.into_iter().collect()
}

/// Kills until nothing is found any more.
async fn end(find: impl Fn() -> Left + Send + Sync + 'static) {
    let find = Arc::new(find);
    let (begin, mut pause) = (Instant::now(), LOOK_AGAIN);
    let mut told = false;
    // One that is ending cannot be told any more, for its memory goes before its threads.
    let mut ending = Vec::new();
    let mut empty_looks = 0;
    for round in 0.. {
        let look = Arc::clone(&find);
        let killing = spawn_blocking(move || {
            let left = look().next(round);
            for process in &left {
                process.signal(Signal::KILL);
            }
            ending.retain(|process: &Identity| process.lives() && !left.contains(process));
            [left, ending].concat()
        });
        // An error means that the program ends.
        let left = killing.await.unwrap_or_default();
        // One look may miss a process that is just being run and has no environment yet.
        empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
        if round == 0 && left.is_empty() || empty_looks == 2 {
            return;
        }
        if begin.elapsed() > LONG && !told {
            told = true;
            let pids: Vec<i32> = left.iter().map(|process| process.pid).collect();
            tracing::warn!(
                ?pids,
                "a worker's processes do not end, not even by SIGKILL"
            );
        }
        ending = left;
        sleep(if empty_looks > 0 { LOOK_AGAIN } else { pause }).await;
        pause = (pause * 2).min(LOOK_AGAIN_MAX);
    }
}

/// What is left of the workers that `is_it` tells, of `supervisor` with its session, and of
/// orphans that came to control.
fn left(supervisor: Option<Identity>, installation: &str, is_it: &dyn Fn(&str) -> bool) -> Left {
    let (living, orphans) = children::living_and_orphans();
    let marked = living.iter().filter(|member| {
        tree::marked(member.id, installation).is_some_and(|worker| is_it(&worker))
    });
    let marked: HashSet<Identity> = marked.map(|member| member.id).collect();
    // A session that a marked process leads was made by it, so that all of it is the worker's.
    let leading = living
        .iter()
        .filter(|member| member.session == member.id.pid && marked.contains(&member.id))
        .map(|member| member.session);
    let sessions = leading
        .chain(supervisor.map(|supervisor| supervisor.pid))
        .collect();
    // A process that is just being run has no environment to read: the one we know is added.
    let supervisor = supervisor.filter(|supervisor| supervisor.lives());
    let seeds = orphans
        .into_iter()
        .chain(marked.iter().copied())
        .chain(supervisor)
        .collect();
    let family = tree::family(&living, seeds, &sessions);
    let leads = |id: &Identity| Some(*id) == supervisor || tree::is_supervisor(*id);
    let (supervisors, others) = family.into_iter().partition(leads);
    Left {
        supervisors,
        others,
    }
}
