//! Remembers revisions and what operators asked of workers, over restarts.

use std::collections::BTreeMap;

use penstock_config::ServiceName;

use super::super::{
    Core,
    deployment::{DeploymentState, Key},
    effect::{Level, Log},
};
use crate::{
    core::ServiceState,
    remembered::{ServiceRow, Table},
    revisions::{Course, Origin},
};

impl Core {
    /// Writes down what is to be remembered of a service's revisions, if it is not.
    pub(in crate::core) fn save_courses(&mut self, name: &ServiceName) -> Option<u64> {
        let service = self.services.get_mut(name)?;
        let deployments = service.deployments.values_mut();
        let changed = deployments.filter(|deployment| deployment.course_changed);
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() && !service.courses_unsaved {
            return None;
        }
        for deployment in changed {
            deployment.course_changed = false;
            deployment.forget_drained();
        }
        service.courses_unsaved = false;
        let row = ServiceRow {
            service: name.to_string(),
            state: service.courses(),
        };
        Some(self.save(Table::Revisions, row))
    }

    /// What is new, or could not be written down at once.
    pub(in crate::core) fn save_all_courses(&mut self) {
        let unsaved = |service: &&ServiceState| {
            let mut deployments = service.deployments.values();
            service.courses_unsaved || deployments.any(|deployment| deployment.course_changed)
        };
        let services = self.services.values().filter(unsaved);
        let names: Vec<ServiceName> = services.map(|service| service.spec.name.clone()).collect();
        for name in names {
            self.save_courses(&name);
        }
    }

    /// Takes up what an earlier run remembered.
    pub(in crate::core) fn restore_courses(&mut self, rows: Vec<ServiceRow>) {
        for row in rows {
            let name = row.service.as_str();
            let Some(service) = self.services.get_mut(name).filter(|known| !known.removed) else {
                self.save(Table::Revisions, ServiceRow { state: None, ..row });
                continue;
            };
            let state = row.state.as_deref().unwrap_or_default();
            match serde_json::from_str::<BTreeMap<String, Course>>(state) {
                Ok(courses) => {
                    for (name, course) in courses {
                        match service.deployments.get_mut(name.as_str()) {
                            Some(deployment) => deployment.course = course,
                            None => service.courses_unsaved = true,
                        }
                    }
                }
                Err(error) => {
                    let text = format!(
                        "what was remembered of the revisions of {name} cannot be read ({error}); they are counted anew"
                    );
                    self.effects.push(Log::effect(Level::Error, None, text));
                }
            }
        }
        let services = self.services.values_mut();
        for deployment in services.flat_map(|service| service.deployments.values_mut()) {
            deployment.resume_course();
        }
    }

    /// Takes in what the file says of what workers run. Where that is new it is a revision.
    pub(in crate::core) fn note_revisions(&mut self, origin: &Origin) {
        let wall_ms = self.now.wall_ms;
        let mut notes: Vec<(Key, String)> = Vec::new();
        let services = self.services.values_mut();
        for deployment in services.flat_map(|service| service.deployments.values_mut()) {
            if let Some(text) = deployment.note_revision(origin, wall_ms) {
                notes.push((deployment.key.clone(), text));
            }
            deployment.aim(false, wall_ms);
        }
        for (key, text) in notes {
            self.note(&key, "revision", &text);
        }
    }
}

impl ServiceState {
    /// As JSON; `None`: nothing to remember.
    fn courses(&self) -> Option<String> {
        let here = self.deployments.iter();
        let here = here.filter(|(_, deployment)| !deployment.removed);
        let courses: BTreeMap<&str, &Course> = here
            .map(|(name, deployment)| (name.as_str(), &deployment.course))
            .filter(|(_, course)| **course != Course::default())
            .collect();
        let text = || serde_json::to_string(&courses).expect("names and numbers are JSON");
        (!self.removed && !courses.is_empty()).then(text)
    }
}

impl DeploymentState {
    /// Workers that were told to end and are gone need not be remembered.
    fn forget_drained(&mut self) {
        let workers = &self.workers;
        let drained = &mut self.course.drained;
        drained.retain(|id, _| workers.iter().any(|worker| *worker.id().0 == **id));
    }
}
