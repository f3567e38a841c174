//! Remembers pauses across restarts and changes of the file.

use std::time::Duration;

use penstock_config::ServiceName;

use super::{Reconciler, ServiceState, Stopped};
use crate::{pause::Pauses, reconcile::traffic::Saving, store::ServiceRow};

impl Reconciler {
    /// Writes down what is to be remembered of a service's pauses.
    pub(super) fn save_pauses(&mut self, name: &ServiceName) -> Saving {
        let Some(service) = self.services.get_mut(name) else {
            return Saving::Nothing;
        };
        let Stopped { pauses, saved } = &mut service.stopped;
        if pauses == saved {
            return Saving::Nothing;
        }
        let state = (!pauses.is_empty())
            .then(|| serde_json::to_string(pauses).expect("names and numbers are JSON"));
        let row = ServiceRow {
            service: name.to_string(),
            state,
        };
        let saving = Saving::of(self.store.put_pauses(row));
        if let Saving::Queued(_) = saving {
            saved.clone_from(pauses);
        }
        saving
    }

    /// What could not be written down at once is tried again.
    pub(in crate::reconcile) fn save_all_pauses(&mut self) {
        let unsaved = |service: &&ServiceState| service.stopped.pauses != service.stopped.saved;
        let services = self.services.values().filter(unsaved);
        let names: Vec<ServiceName> = services.map(|service| service.spec.name.clone()).collect();
        for name in names {
            drop(self.save_pauses(&name));
        }
    }

    /// Takes up what an earlier run remembered.
    pub(in crate::reconcile) fn restore_pauses(&mut self, rows: Vec<ServiceRow>, now: Duration) {
        for row in rows {
            let state = row.state.as_deref().unwrap_or_default();
            let name = row.service.as_str();
            match (self.known(name), serde_json::from_str::<Pauses>(state)) {
                (Ok(name), Ok(pauses)) => {
                    let service = self.services.get_mut(&name).expect("it is known");
                    service.stopped.saved = pauses.clone();
                    service.stopped.pauses = pauses;
                    self.follow_pauses(&name, now);
                }
                (Ok(_), Err(error)) => {
                    tracing::error!(service = name, %error, "what was remembered of its pauses cannot be read; it is not paused");
                }
                (Err(_), _) => {
                    if let Ok(gone) = ServiceName::try_from(name) {
                        self.note_forgotten(&gone, now);
                    }
                    self.store.put_pauses(ServiceRow { state: None, ..row });
                }
            }
        }
        self.end_pauses();
        self.save_all_pauses();
    }

    /// Brings pauses up to date after the settings of a service have changed.
    pub(in crate::reconcile) fn follow_pauses(&mut self, name: &ServiceName, now: Duration) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        for gone in service.stopped.pauses.follow(&service.spec) {
            let text = format!("{gone} is not configured any more; its pause is forgotten");
            self.note_service(name, "pause_forgotten", &text, now);
        }
        self.obey_pauses(name);
        drop(self.save_pauses(name));
    }

    /// Forgets the pauses of a service that is removed.
    pub(in crate::reconcile) fn forget_pauses(&mut self, name: &ServiceName, now: Duration) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let forgotten = std::mem::take(&mut service.stopped.pauses);
        if forgotten.is_empty() {
            return;
        }
        self.note_forgotten(name, now);
        self.obey_pauses(name);
        drop(self.save_pauses(name));
    }

    fn note_forgotten(&self, name: &ServiceName, now: Duration) {
        let text = "what was paused is forgotten with the service";
        self.note_service(name, "pause_forgotten", text, now);
    }
}
