//! The decision now and the last changes, for people.

use std::fmt::Write;

use anstyle::Style;
use penstock_control::{
    explain::{ClampRecord, Explanation, Present, Record, Step, WishRecord},
    store::JournalEntry,
};

use super::{
    layout::{BOLD, DIM, LIMIT, Page, WON, WRONG},
    time::ago,
};

/// Events shown after a change; there may be hundreds when a worker crashes over and over.
const EVENTS_MAX: usize = 8;

/// Kinds of events that say only that a plan is carried out, which stands there already.
const CARRIED_OUT: [&str; 3] = ["worker_starting", "worker_draining", "worker_gone"];

impl Page {
    /// Everything about several deployments.
    pub(super) fn explanations(&self, found: &[Explanation]) -> String {
        let texts: Vec<String> = found.iter().map(|found| self.explanation(found)).collect();
        texts.join("\n")
    }

    fn explanation(&self, explanation: &Explanation) -> String {
        let Explanation {
            service,
            deployment,
            present,
            journal,
        } = explanation;
        let mut text = self.headline(&format!("{service}/{deployment}: {}", numbers(present)));
        text += &self.present(present);
        let _ = writeln!(
            text,
            "\n{BOLD}CHANGES{BOLD:#} {DIM}(the newest last){DIM:#}"
        );
        if !journal.iter().any(is_change) {
            return text + "  none\n";
        }
        text + &self.changes(journal, present.at_ms)
    }

    fn present(&self, present: &Present) -> String {
        let Present {
            troubles,
            reason_text,
            by_hand,
            update,
            advice,
            cost,
            inputs,
            wishes,
            clamps,
            plan,
            next,
            ..
        } = present;
        let troubles = troubles.iter().map(|trouble| (trouble.as_str(), WRONG));
        let mut text = self.items("wrong", troubles);
        text += &self.item("why", reason_text, BOLD);
        let by_hand = by_hand.iter().map(|set| (set.as_str(), LIMIT));
        text += &self.items("by hand", by_hand);
        if let Some(update) = update {
            text += &self.item("update", update, LIMIT);
        }
        if let Some(advice) = advice {
            let would = format!("{} workers: {}", advice.workers, advice.reason_text);
            text += &self.item("advice", &would, LIMIT);
        }
        text += &self.item("inputs", &inputs.to_string(), Style::new());
        if let Some(taken) = inputs.overflow.as_ref().filter(|one| one.taken > 0) {
            let (taken, percent) = (taken.taken, taken.percent);
            let words = format!(
                "took {taken} requests that lower tiers could not serve in time ({percent:.1} % of all)"
            );
            text += &self.item("overflow", &words, Style::new());
        }
        if let Some(cost) = cost {
            text += &self.item("cost", &cost.to_string(), Style::new());
        }
        text += &self.wishes(wishes);
        text += &self.clamps(clamps);
        text += &self.plan("plan", plan);
        let next = next.iter().map(|next| (next.words.as_str(), Style::new()));
        text + &self.items("next", next)
    }

    /// Changes and what happened after each, the newest last; given newest first.
    pub(super) fn changes(&self, journal: &[JournalEntry], now_ms: u64) -> String {
        let mut text = String::new();
        let mut entries = journal.iter().rev().peekable();
        while let Some(entry) = entries.next() {
            text += &self.change(entry, now_ms);
            let mut events = Vec::new();
            while let Some(event) = entries.next_if(|next| !is_change(next)) {
                events.push(event);
            }
            text += &self.events(&events);
        }
        text
    }

    /// One entry: a change with all that led to it, or an event.
    pub(super) fn change(&self, entry: &JournalEntry, now_ms: u64) -> String {
        let at = format!(
            "{} ({})",
            self.times.date(entry.at_ms),
            ago(entry.at_ms, now_ms)
        );
        let mut text = self.headline(&format!("{at}  {}", entry.text));
        if let Some(record) = &entry.record {
            text += &self.record(record);
        }
        let details = entry.details.iter();
        text + &self.items("details", details.map(|line| (line.as_str(), Style::new())))
    }

    /// One entry of a deployment that is being followed.
    pub(super) fn news(&self, entry: &JournalEntry, found: &Explanation) -> String {
        let about = JournalEntry {
            text: format!("{}: {}", found.deployment, entry.text),
            ..entry.clone()
        };
        self.change(&about, found.present.at_ms)
    }

    fn record(&self, record: &Record) -> String {
        let mut text = self.item("inputs", &record.inputs.to_string(), Style::new());
        text += &self.wishes(&record.wishes);
        text += &self.clamps(&record.clamps);
        text + &self.plan("done", &record.plan)
    }

    fn events(&self, events: &[&JournalEntry]) -> String {
        let events = events.iter();
        let told = events.filter(|event| !CARRIED_OUT.contains(&&*event.kind));
        let mut lines: Vec<String> = told
            .map(|event| format!("{} {}", self.times.time(event.at_ms), event.text))
            .collect();
        if lines.len() > EVENTS_MAX {
            let more = lines.len() - EVENTS_MAX;
            lines.truncate(EVENTS_MAX);
            lines.push(format!("… and {more} more events"));
        }
        self.items("then", lines.iter().map(|line| (line.as_str(), DIM)))
    }

    fn wishes(&self, wishes: &[WishRecord]) -> String {
        let lines: Vec<(String, Style)> = wishes.iter().map(wish).collect();
        self.items(
            "rules",
            lines.iter().map(|(line, style)| (line.as_str(), *style)),
        )
    }

    fn clamps(&self, clamps: &[ClampRecord]) -> String {
        let clamps = clamps.iter().map(|clamp| (clamp.words.as_str(), LIMIT));
        self.items("limits", clamps)
    }

    fn plan(&self, label: &str, plan: &[Step]) -> String {
        let steps = plan.iter().map(|step| (step.words.as_str(), Style::new()));
        self.items(label, steps)
    }
}

fn numbers(present: &Present) -> String {
    let Present {
        desired,
        min,
        max,
        inputs,
        phase,
        ..
    } = present;
    let mut text = format!("{desired} desired ({min}–{max}), {} ready", inputs.ready);
    if inputs.starting > 0 {
        let _ = write!(text, ", {} starting", inputs.starting);
    }
    if inputs.draining > 0 {
        let _ = write!(text, ", {} draining", inputs.draining);
    }
    text + ", " + phase
}

/// One wish; the one that counts has a mark.
fn wish(wish: &WishRecord) -> (String, Style) {
    let WishRecord {
        rule, won, words, ..
    } = wish;
    if *won {
        (format!("* {rule}: {words}"), WON)
    } else {
        (format!("  {rule}: {words}"), Style::new())
    }
}

/// Whether an entry is a decision.
fn is_change(entry: &JournalEntry) -> bool {
    entry.desired.is_some()
}
