//! Describes revisions and updates.

use super::super::{ServiceState, deployment::DeploymentState, traffic::by_whom};
use crate::{
    revisions::{Revision, Via},
    status::{DeploymentRevisions, OverrideStatus, RevisionStatus, UpdateStatus},
    weights::Change,
};

impl ServiceState {
    /// The revisions of one deployment, or of all.
    pub(super) fn describe_revisions(&self, of: Option<&str>) -> Vec<DeploymentRevisions> {
        let here = self.deployments.values();
        let here = here.filter(|deployment| !deployment.removed);
        let asked = here.filter(|one| of.is_none_or(|of| *of == *one.key.deployment.as_str()));
        asked
            .map(|deployment| DeploymentRevisions {
                name: deployment.key.deployment.to_string(),
                in_force: deployment.number_in_force(),
                of_file: deployment.course.of_file().map(|known| known.number),
                switched: deployment.describe_switched(),
                scaled: deployment.describe_scaled(),
                update: deployment.describe_update(),
                revisions: deployment
                    .course
                    .revisions()
                    .rev()
                    .map(|revision| deployment.describe_revision(revision))
                    .collect(),
            })
            .collect()
    }
}

impl DeploymentState {
    /// The number of the revision that workers are to run.
    pub(in crate::core) fn number_in_force(&self) -> Option<u64> {
        self.course.in_force().map(|revision| revision.number)
    }

    /// The number of what a worker with this text runs.
    pub(in crate::core) fn number_of(&self, text: &str) -> Option<u64> {
        self.course.number_of(text)
    }

    pub(in crate::core) fn describe_switched(&self) -> Option<OverrideStatus> {
        let switched = self.course.switched.as_ref()?;
        Some(overriding(switched.number, &switched.change))
    }

    /// That another revision than the file's is in force, and who says so.
    pub(in crate::core) fn about_switched(&self) -> Option<String> {
        let switched = self.course.switched.as_ref()?;
        let of_file = self.course.of_file()?.number;
        Some(format!(
            "revision {} by hand{}; the file's is {of_file} (penstock switch {} --reset)",
            switched.number,
            by_whom(&switched.change),
            self.key
        ))
    }

    pub(in crate::core) fn describe_scaled(&self) -> Option<OverrideStatus> {
        let scaled = self.course.scaled.as_ref()?;
        Some(overriding(scaled.workers.into(), &scaled.change))
    }

    /// How far an update is.
    pub(in crate::core) fn describe_update(&self) -> Option<UpdateStatus> {
        let update = self.course.update.as_ref()?;
        let stopped = update.stopped.as_ref();
        let ready = self.workers.iter().filter(|worker| worker.is_ready());
        let new = ready.filter(|worker| worker.revision == self.revision);
        let words = match self.about_stopped() {
            Some(words) => words,
            None if self.workers.is_empty() && self.decision.desired == 0 => format!(
                "{} is under way: no worker is wanted now, and it ends when a new one has been ready",
                self.name_of(update)
            ),
            None => {
                let old = self.workers.iter();
                let old = old.filter(|worker| worker.revision != self.revision);
                format!(
                    "{} is under way: {} of {} workers are new and ready, {} old ones are left",
                    self.name_of(update),
                    new.clone().count(),
                    self.decision.desired,
                    old.count()
                )
            }
        };
        Some(UpdateStatus {
            state: if stopped.is_some() {
                "stopped"
            } else {
                "running"
            }
            .into(),
            from: update.from,
            to: self.number_in_force(),
            is_restart: update.is_restart,
            since_ms: stopped.map_or(update.began_ms, |stopped| stopped.at_ms),
            ready: u32::try_from(new.count()).unwrap_or(u32::MAX),
            why: stopped.map(|stopped| stopped.why.clone()),
            words,
        })
    }

    fn describe_revision(&self, revision: &Revision) -> RevisionStatus {
        let Revision {
            number,
            via,
            change,
            difference,
            ..
        } = revision;
        let runs = self.workers.iter();
        let runs = runs.filter(|worker| self.number_of(&worker.revision) == Some(*number));
        RevisionStatus {
            number: *number,
            at_ms: change.at_ms,
            via: match via {
                Via::Start => "start",
                Via::File => "file",
                Via::Signal => "signal",
                Via::Api => "api",
            }
            .into(),
            by: change.by.clone(),
            reason: change.reason.clone(),
            difference: difference.clone(),
            in_force: self.number_in_force() == Some(*number),
            workers: u32::try_from(runs.count()).unwrap_or(u32::MAX),
        }
    }
}

fn overriding(value: u64, change: &Change) -> OverrideStatus {
    OverrideStatus {
        value,
        since_ms: change.at_ms,
        by: change.by.clone(),
        reason: change.reason.clone(),
    }
}
