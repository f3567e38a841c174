//! Revisions, updates, and what operators ask of workers: to switch, restart, scale and drain.

mod ask;
mod describe;
mod progress;
mod remember;

use std::sync::Arc;

use penstock_config::{Deployment, GpuChoice, Source};

pub use self::ask::{WorkersAsk, WorkersRequest};
use super::{
    deployment::DeploymentState,
    revision::{is_current, revision as digest},
    worker::Worker,
};
use crate::revisions::{Origin, Revision, Switched, Updating, digest_of};

impl DeploymentState {
    /// Takes in what the file says of what workers run; what there is to tell of it.
    pub(super) fn note_revision(&mut self, origin: &Origin, wall_ms: u64) -> Option<String> {
        if self.is_static() || self.removed {
            return None;
        }
        let digest = digest(&self.file, &self.secret_key);
        let switched = self.course.switched.clone();
        let key = Arc::clone(&self.secret_key);
        let revision = self
            .course
            .follow(&self.file, &digest, &key, origin, wall_ms)?;
        // That there is a first one is no news.
        let text = (revision.number > 1).then(|| about_new(revision, switched.as_ref()));
        self.course_changed = true;
        text
    }

    /// What workers are to run now: settings, and the text by which such workers are known.
    fn target(&mut self) -> (Arc<Deployment>, Arc<str>) {
        let of_file = digest(&self.file, &self.secret_key);
        if self.file.source.is_fixed() {
            return (Arc::clone(&self.file), of_file);
        }
        let text = self.course.text(&of_file);
        let Some(Switched { number, .. }) = self.course.switched else {
            return (Arc::clone(&self.file), text);
        };
        match self.kept(number) {
            Some((spec, text)) => (spec, text),
            None => {
                // Nothing can be started by it, so it cannot be in force.
                self.course.switched = None;
                self.course_changed = true;
                (Arc::clone(&self.file), text)
            }
        }
    }

    /// What a kept revision runs, with the other settings of the file.
    fn kept(&self, number: u64) -> Option<(Arc<Deployment>, Arc<str>)> {
        let revision = self.course.get(number)?;
        let source = revision.open(&self.secret_key)?;
        let text = self.course.text(&revision.digest);
        Some((self.with_source(source), text))
    }

    fn with_source(&self, source: Source) -> Arc<Deployment> {
        if source == self.file.source {
            return Arc::clone(&self.file);
        }
        Arc::new(Deployment {
            source,
            ..Deployment::clone(&self.file)
        })
    }

    /// Goes on where an earlier run was.
    pub(super) fn resume_course(&mut self) {
        if let Some(in_force) = self.course.in_force() {
            self.revision = self.course.text(&in_force.digest);
        }
        let (_, text) = self.what_to_start();
        self.starts.revised(digest_of(&text));
    }

    /// Brings up to date what workers are to run. If those that are there run something else, or something
    /// else is known to work, that is an update.
    pub(super) fn aim(&mut self, is_restart: bool, wall_ms: u64) {
        let (spec, text) = self.target();
        if *self.spec != *spec {
            self.changed = true;
        }
        self.spec = spec;
        if text == self.revision {
            return;
        }
        let before = std::mem::replace(&mut self.revision, text);
        let had_been_ready = self.starts.has_been_ready();
        let under_way = self.course.update.take();
        self.course_changed |= under_way.is_some();
        self.starts_other();
        if self.is_static() {
            return;
        }
        // What served before an update that was not finished is what is known to work.
        let from = match &under_way {
            Some(update) => update.from,
            None => self.course.number_of(&before),
        };
        // Where no worker runs, as after its turn with a GPU, there is something to go back to all the same.
        let target = self.course.in_force().map(|revision| revision.number);
        let is_known_to_work = under_way.is_some() || had_been_ready;
        let can_go_back = from.is_some() && from != target && is_known_to_work;
        let differs = |worker: &Worker| worker.is_kept() && worker.revision != self.revision;
        if can_go_back || self.workers.iter().any(differs) {
            self.course.update = Some(Updating {
                from,
                is_restart,
                began_ms: wall_ms,
                stopped: None,
            });
            self.course_changed = true;
        }
    }

    /// Whether a worker runs what is to run: it need not be replaced. While an update has stopped all do,
    /// but for those that cannot stand beside the revision that serves on. One that is on its way out
    /// stays what it was.
    pub(super) fn is_current(&self, worker: &Worker) -> bool {
        match self.stopped_text() {
            Some(text) if self.recreates() => worker.revision == text,
            Some(_) if worker.is_kept() => true,
            Some(_) => worker.revision == self.revision,
            None => is_current(&self.spec, &self.revision, &worker.revision),
        }
    }

    /// Settings and text of new workers.
    pub(super) fn what_to_start(&self) -> (Arc<Deployment>, Arc<str>) {
        let number = self.serves_on();
        number
            .and_then(|number| self.kept(number))
            .unwrap_or_else(|| (Arc::clone(&self.spec), Arc::clone(&self.revision)))
    }

    /// Something else may be started from now on than was: what failed was that, and what is known of how long
    /// it takes is that of what it is.
    pub(super) fn starts_other(&mut self) {
        let (_, text) = self.what_to_start();
        self.starts.revised(digest_of(&text));
        self.starts.reset();
    }

    /// The GPUs that each new worker is given; `None`: none.
    pub(super) fn gpus_to_start(&self) -> Option<GpuChoice> {
        self.what_to_start().0.source.gpus().cloned()
    }

    /// The revision that serves on because the update to another one has stopped.
    fn serves_on(&self) -> Option<u64> {
        let update = self.course.update.as_ref()?;
        update.stopped.as_ref()?;
        update.from
    }

    /// The text of what is started while an update has stopped.
    fn stopped_text(&self) -> Option<Arc<str>> {
        self.course.update.as_ref()?.stopped.as_ref()?;
        let from = self.serves_on().and_then(|number| self.course.get(number));
        Some(match from {
            Some(from) => self.course.text(&from.digest),
            None => Arc::clone(&self.revision),
        })
    }
}

/// What the journal says of a new revision.
fn about_new(revision: &Revision, switched: Option<&Switched>) -> String {
    let Revision {
        number,
        change,
        difference,
        ..
    } = revision;
    let mut text = format!("revision {number}{}", super::traffic::by_whom(change));
    if !difference.is_empty() {
        text += &format!(" ({})", difference.join("; "));
    }
    if let Some(switched) = switched {
        text += &format!(
            "; it takes the place of revision {}, which was switched to by hand",
            switched.number
        );
    }
    text
}
