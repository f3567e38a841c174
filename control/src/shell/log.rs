//! What control has to say in the log.

use crate::{
    core::{About, Level, Log},
    remembered::JournalEntry,
};

/// Kinds of events that somebody may have to act on.
const BAD: [&str; 7] = [
    "update_stopped",
    "worker_ended",
    "start_failed",
    "no_room",
    "worker_not_ready",
    "worker_broken",
    "drain_cut",
];

/// What goes into the journal is said in the log too.
pub(super) fn journal(entry: &JournalEntry) {
    let JournalEntry {
        service,
        deployment,
        kind,
        text,
        ..
    } = entry;
    if let (Some(before), Some(desired), Some(record)) =
        (entry.before, entry.desired, &entry.record)
    {
        let happened = match kind.as_str() {
            "advice" => "would have scaled",
            "limited" => "cannot scale",
            _ => "scaled",
        };
        tracing::info!(
            service, deployment, before, desired, reason = %record.reason, "{happened}"
        );
    } else if deployment.is_empty() {
        tracing::info!(service, "{text}");
    } else if BAD.contains(&kind.as_str()) {
        tracing::warn!(service, deployment, "{text}");
    } else {
        tracing::info!(service, deployment, "{text}");
    }
}

pub(super) fn line(line: &Log) {
    let Log { level, about, text } = line;
    let service = about.as_ref().map(|About { service, .. }| service.as_str());
    let deployment = about.as_ref().and_then(|about| about.deployment.as_ref());
    let deployment = deployment.map(|deployment| deployment.as_str());
    match level {
        Level::Info => tracing::info!(service, deployment, "{text}"),
        Level::Warn => tracing::warn!(service, deployment, "{text}"),
        Level::Error => tracing::error!(service, deployment, "{text}"),
    }
}
