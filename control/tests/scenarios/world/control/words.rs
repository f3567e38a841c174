//! What the journal says, in the short words of timelines.

use penstock_control::{explain::Record, plan::StopCause, remembered::JournalEntry};

/// A line of a timeline; `None`: it has none of this.
pub(super) fn note(entry: &JournalEntry) -> Option<String> {
    let text = entry.text.as_str();
    let slot = || {
        let mut words = text.split([' ', ':']);
        let slot = words.find(|word| word.parse::<u32>().is_ok());
        slot.unwrap_or_default()
    };
    if let Some(record) = &entry.record {
        return (entry.kind != "limited").then(|| decision(entry, record));
    }
    Some(match entry.kind.as_str() {
        // Timelines tell by themselves what was done to the deployment.
        "pause" | "resume" | "pause_forgotten" | "scale" => return None,
        "worker_starting" => format!("worker {} starts", slot()),
        "worker_ready" if text.contains("after") => format!("worker {} is ready", slot()),
        "worker_draining" => format!("worker {} drains", slot()),
        "worker_undrained" => format!("worker {} is needed again", slot()),
        _ if text.contains("is stopped: ") => {
            format!("worker {} stops: {:?}", slot(), stop_cause(text))
        }
        "start_failed" => format!("worker {} cannot be started", slot()),
        _ => text.to_owned(),
    })
}

fn decision(entry: &JournalEntry, record: &Record) -> String {
    let advice = if entry.kind == "advice" {
        "advice: "
    } else {
        ""
    };
    let (before, desired) = (entry.before.unwrap_or(0), entry.desired.unwrap_or(0));
    let clamps = record.clamps.iter();
    let clamps: String = clamps.map(|clamp| format!(" ({})", clamp.words)).collect();
    format!("{advice}{before} → {desired}: {}{clamps}", record.reason)
}

/// Why a worker is stopped, by the words of the journal.
fn stop_cause(text: &str) -> StopCause {
    let all = [
        StopCause::Drained,
        StopCause::DrainDeadline,
        StopCause::StartTimeout,
        StopCause::Unwanted,
        StopCause::Broken,
        StopCause::MakesRoom,
    ];
    let found = all
        .into_iter()
        .find(|cause| text.contains(&cause.to_string()));
    found.unwrap_or_else(|| panic!("no cause: {text}"))
}
