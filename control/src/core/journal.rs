//! Writes down what was decided and what happened.

use penstock_config::ServiceName;

use super::{
    Core,
    deployment::Key,
    deployment_mut,
    describe::{News, NewsKind},
    effect::{About, Effect, Level, Log, Memory},
};
use crate::remembered::{DesiredRow, JournalEntry};

impl Core {
    /// Writes down what is new in a decision.
    pub(super) fn note_decision(&mut self, key: &Key, news: News) {
        let News {
            kind,
            text,
            before,
            desired,
            record,
        } = news;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        if let NewsKind::Change(_) = kind {
            deployment.tally.decided(&deployment.decision.reason);
        }
        // The pace is that of the rules, be they followed or not.
        let paces = match kind {
            NewsKind::Change(_) => !deployment.advises(),
            NewsKind::Advice => true,
            NewsKind::Limited => false,
        };
        let at_ms = self.now.wall_ms;
        let (service, name) = (key.service.to_string(), key.deployment.to_string());
        if paces {
            let row = DesiredRow::new(key, desired, at_ms);
            self.effects.push(Effect::Remember(Memory::Desired(row)));
        }
        self.effects.push(Effect::Journal(JournalEntry {
            at_ms,
            service,
            deployment: name,
            kind: kind.label().to_owned(),
            text,
            before: Some(before),
            desired: Some(desired),
            record: Some(record),
            details: Vec::new(),
        }));
    }

    /// Writes down something about a service as a whole.
    pub(super) fn note_service(&mut self, service: &ServiceName, kind: &str, text: &str) {
        self.write(service, String::new(), kind, text);
    }

    /// Writes down something that happened to a worker.
    pub(super) fn note(&mut self, key: &Key, kind: &str, text: &str) {
        self.write(&key.service, key.deployment.to_string(), kind, text);
    }

    fn write(&mut self, service: &ServiceName, deployment: String, kind: &str, text: &str) {
        self.effects.push(Effect::Journal(JournalEntry {
            at_ms: self.now.wall_ms,
            service: service.to_string(),
            deployment,
            kind: kind.to_owned(),
            text: text.to_owned(),
            before: None,
            desired: None,
            record: None,
            details: Vec::new(),
        }));
    }
}

impl DesiredRow {
    /// That so many workers of a deployment are desired from then on.
    pub(super) fn new(key: &Key, desired: u32, at_ms: u64) -> Self {
        Self {
            at_ms,
            service: key.service.to_string(),
            deployment: key.deployment.to_string(),
            desired,
        }
    }
}

impl Log {
    pub(super) fn effect(level: Level, about: Option<About>, text: String) -> Effect {
        Effect::Log(Self { level, about, text })
    }
}

impl From<&Key> for About {
    fn from(key: &Key) -> Self {
        Self {
            service: key.service.clone(),
            deployment: Some(key.deployment.clone()),
        }
    }
}
