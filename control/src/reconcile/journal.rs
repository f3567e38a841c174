//! Writes down what was decided and what happened.

use std::time::Duration;

use penstock_config::ServiceName;

use super::{
    Reconciler,
    deployment::Key,
    deployment_mut,
    describe::{News, NewsKind},
};
use crate::store::{DesiredRow, JournalEntry};

/// Kinds of events that somebody may have to act on.
const BAD: [&str; 6] = [
    "worker_ended",
    "start_failed",
    "no_room",
    "worker_not_ready",
    "worker_broken",
    "drain_cut",
];

impl Reconciler {
    /// Writes down what is new in a decision.
    pub(super) fn note_decision(&mut self, key: &Key, news: News, now: Duration) {
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
            deployment.metrics.decided(&deployment.decision.reason);
        }
        // The pace is that of the rules, be they followed or not.
        let paces = match kind {
            NewsKind::Change(_) => !deployment.advises(),
            NewsKind::Advice => true,
            NewsKind::Limited => false,
        };
        tracing::info!(
            service = %key.service, deployment = %key.deployment, before, desired,
            reason = %record.reason, "{}", kind.happened()
        );
        let at_ms = self.clock.wall_ms(now);
        let (service, name) = (key.service.to_string(), key.deployment.to_string());
        if paces {
            self.store.desired(DesiredRow {
                at_ms,
                service: service.clone(),
                deployment: name.clone(),
                desired,
            });
        }
        self.store.note(JournalEntry {
            at_ms,
            service,
            deployment: name,
            kind: kind.label().to_owned(),
            text,
            before: Some(before),
            desired: Some(desired),
            record: Some(record),
            details: Vec::new(),
        });
    }

    /// Writes down something about a service as a whole.
    pub(super) fn note_service(
        &self,
        service: &ServiceName,
        kind: &str,
        text: &str,
        now: Duration,
    ) {
        tracing::info!(%service, "{text}");
        self.write(service, String::new(), kind, text, now);
    }

    /// Writes down something that happened to a worker.
    pub(super) fn note(&self, key: &Key, kind: &str, text: &str, now: Duration) {
        let Key {
            service,
            deployment,
        } = key;
        if BAD.contains(&kind) {
            tracing::warn!(%service, %deployment, "{text}");
        } else {
            tracing::info!(%service, %deployment, "{text}");
        }
        self.write(&key.service, key.deployment.to_string(), kind, text, now);
    }

    fn write(
        &self,
        service: &ServiceName,
        deployment: String,
        kind: &str,
        text: &str,
        now: Duration,
    ) {
        self.store.note(JournalEntry {
            at_ms: self.clock.wall_ms(now),
            service: service.to_string(),
            deployment,
            kind: kind.to_owned(),
            text: text.to_owned(),
            before: None,
            desired: None,
            record: None,
            details: Vec::new(),
        });
    }
}
