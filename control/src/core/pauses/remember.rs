//! Remembers pauses across restarts and changes of the file.

use penstock_config::ServiceName;

use super::{Core, ServiceState, Stopped};
use crate::{
    core::{
        effect::{Level, Log},
        saving::Saved,
    },
    pause::Pauses,
    remembered::{ServiceRow, Table},
};

impl Core {
    /// Writes down what is to be remembered of a service's pauses.
    pub(super) fn save_pauses(&mut self, name: &ServiceName) -> Option<u64> {
        let service = self.services.get_mut(name)?;
        let Stopped { pauses, saved } = &mut service.stopped;
        if saved.is(pauses) {
            return None;
        }
        let state = (!pauses.is_empty())
            .then(|| serde_json::to_string(pauses).expect("names and numbers are JSON"));
        let row = ServiceRow {
            service: name.to_string(),
            state,
        };
        *saved = Saved::Is(pauses.clone());
        Some(self.save(Table::Pauses, row))
    }

    /// What could not be written down at once is tried again.
    pub(in crate::core) fn save_all_pauses(&mut self) {
        let unsaved = |service: &&ServiceState| !service.stopped.saved.is(&service.stopped.pauses);
        let services = self.services.values().filter(unsaved);
        let names: Vec<ServiceName> = services.map(|service| service.spec.name.clone()).collect();
        for name in names {
            self.save_pauses(&name);
        }
    }

    /// Takes up what an earlier run remembered.
    pub(in crate::core) fn restore_pauses(&mut self, rows: Vec<ServiceRow>) {
        for row in rows {
            let state = row.state.as_deref().unwrap_or_default();
            let name = row.service.as_str();
            match (self.known(name), serde_json::from_str::<Pauses>(state)) {
                (Ok(name), Ok(pauses)) => {
                    let service = self.services.get_mut(&name).expect("it is known");
                    service.stopped.saved = Saved::Is(pauses.clone());
                    service.stopped.pauses = pauses;
                    self.follow_pauses(&name);
                }
                (Ok(_), Err(error)) => {
                    let text = format!(
                        "what was remembered of the pauses of {name} cannot be read ({error}); it is not paused"
                    );
                    self.effects.push(Log::effect(Level::Error, None, text));
                }
                (Err(_), _) => {
                    if let Ok(gone) = ServiceName::try_from(name) {
                        self.note_forgotten(&gone);
                    }
                    self.save(Table::Pauses, ServiceRow { state: None, ..row });
                }
            }
        }
        self.end_pauses();
        self.save_all_pauses();
    }

    /// Brings pauses up to date after the settings of a service have changed.
    pub(in crate::core) fn follow_pauses(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        for gone in service.stopped.pauses.follow(&service.spec) {
            let text = format!("{gone} is not configured any more; its pause is forgotten");
            self.note_service(name, "pause_forgotten", &text);
        }
        self.obey_pauses(name);
        self.save_pauses(name);
    }

    /// Forgets the pauses of a service that is removed.
    pub(in crate::core) fn forget_pauses(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let forgotten = std::mem::take(&mut service.stopped.pauses);
        if forgotten.is_empty() {
            return;
        }
        self.note_forgotten(name);
        self.obey_pauses(name);
        self.save_pauses(name);
    }

    fn note_forgotten(&mut self, name: &ServiceName) {
        let text = "what was paused is forgotten with the service";
        self.note_service(name, "pause_forgotten", text);
    }
}
