//! Changes as they happen.

use std::{collections::HashMap, io::Write, time::Duration};

use penstock_control::{explain::Explanation, store::JournalEntry};
use serde::Serialize;

use super::{ExplainArgs, ask, page, print};
use crate::admin_client::AdminClient;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Changes asked for with every look: more do not happen in the meantime.
const CHANGES: u32 = 100;

/// The newest entries seen of each deployment: all of one millisecond, for there may be more of it.
#[derive(Default)]
struct Seen {
    newest: HashMap<String, Vec<JournalEntry>>,
    /// What is older is no news, of deployments of which nothing was seen yet: milliseconds since 1970.
    since_ms: u64,
}

impl Seen {
    /// Entries that are new, oldest first.
    fn news(&mut self, found: &Explanation) -> Vec<JournalEntry> {
        let known = self.newest.entry(found.deployment.clone()).or_default();
        let last_ms = known.last().map_or(self.since_ms, |entry| entry.at_ms);
        let journal = found.journal.iter().rev();
        let is_new = |entry: &&JournalEntry| entry.at_ms >= last_ms && !known.contains(entry);
        let news: Vec<JournalEntry> = journal.filter(is_new).cloned().collect();
        if let Some(newest) = news.last() {
            known.retain(|entry| entry.at_ms == newest.at_ms);
            let at_newest = |entry: &&JournalEntry| entry.at_ms == newest.at_ms;
            known.extend(news.iter().filter(at_newest).cloned());
        }
        news
    }

    /// The time from which on entries may be new.
    fn since_ms(&self) -> u64 {
        let newest = self.newest.values().map(|known| known.last());
        let newest = newest.map(|last| last.map_or(self.since_ms, |entry| entry.at_ms));
        newest.min().unwrap_or(self.since_ms)
    }
}

/// Whether Penstock answers; who follows is told once when that changes.
#[derive(Default)]
struct Contact {
    lost: Option<String>,
}

impl Contact {
    fn found(&mut self) {
        if self.lost.take().is_some() {
            complain("penstock answers again");
        }
    }

    fn lost(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.lost.as_ref() != Some(&error) {
            complain(&format!("{error}; waiting until that changes"));
            self.lost = Some(error);
        }
    }
}

/// Prints what was found, then what comes. Never returns unless nobody reads any more: a Penstock
/// that is restarted meanwhile is waited for.
pub(super) async fn follow(client: &AdminClient, args: &ExplainArgs) -> anyhow::Result<()> {
    let (changes, since_ms) = args.which();
    // Without any, it would not be known where the journal ends.
    let mut found = ask(client, &args.target, changes.max(1), since_ms).await?;
    let mut seen = Seen {
        since_ms,
        ..Seen::default()
    };
    found.iter().for_each(|found| drop(seen.news(found)));
    if changes == 0 {
        found.iter_mut().for_each(|found| found.journal.clear());
    }
    print(&if args.json {
        found.iter().map(line).collect::<anyhow::Result<String>>()?
    } else {
        page().explanations(&found)
    })?;
    let mut contact = Contact::default();
    loop {
        tokio::time::sleep(EVERY).await;
        match ask(client, &args.target, CHANGES, seen.since_ms()).await {
            Ok(found) => {
                contact.found();
                print(&news(args, &found, &mut seen)?)?;
            }
            Err(error) => contact.lost(&error),
        }
    }
}

/// What is new of all deployments, in the order in which it happened.
fn news(args: &ExplainArgs, found: &[Explanation], seen: &mut Seen) -> anyhow::Result<String> {
    let of_each = found.iter().map(|found| (found, seen.news(found)));
    let news = of_each.flat_map(|(found, news)| news.into_iter().map(move |entry| (found, entry)));
    let mut news: Vec<_> = news.collect();
    news.sort_by_key(|(_, entry)| entry.at_ms);
    let texts = news.iter().map(|(found, entry)| {
        if args.json {
            line(entry)
        } else {
            Ok(page().news(entry, found))
        }
    });
    texts.collect()
}

/// One line of JSON.
fn line(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

/// Nothing but what is followed goes to standard output, which a program may read. Nobody need read
/// this.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "penstock: {text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A deployment with entries at these times, given oldest first.
    fn found(deployment: &str, entries: &[(u64, &str)]) -> Explanation {
        let entry = |(at_ms, text): &(u64, &str)| {
            json!({"at_ms": at_ms, "service": "chat", "deployment": deployment,
                   "kind": "worker_ended", "text": text})
        };
        let journal: Vec<_> = entries.iter().rev().map(entry).collect();
        let found = json!({
            "service": "chat", "deployment": deployment,
            "present": {
                "at_ms": 0, "desired": 1, "min": 1, "max": 3, "phase": "warm", "reason": "",
                "reason_text": "", "inputs": {}, "wishes": [], "clamps": [], "plan": [],
                "next": [],
            },
            "journal": journal,
        });
        serde_json::from_value(found).expect("as the API gives it")
    }

    fn texts(news: Vec<JournalEntry>) -> Vec<String> {
        news.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn every_entry_is_news_once_also_the_later_ones_of_a_millisecond() {
        let mut seen = Seen::default();
        let mut news = |entries: &[(u64, &str)]| texts(seen.news(&found("main", entries)));
        assert_eq!(news(&[(5, "a"), (7, "b")]), ["a", "b"]);
        assert_eq!(news(&[(7, "b"), (7, "c")]), ["c"]);
        assert_eq!(news(&[(7, "b"), (7, "c")]), [""; 0]);
        assert_eq!(news(&[(7, "b"), (7, "c"), (9, "d")]), ["d"]);
        assert_eq!(seen.since_ms(), 9);
    }

    #[test]
    fn what_is_too_old_to_be_shown_is_no_news_later() {
        let mut seen = Seen {
            since_ms: 100,
            ..Seen::default()
        };
        seen.news(&found("main", &[]));
        seen.news(&found("other", &[(150, "x")]));
        assert_eq!(seen.since_ms(), 100, "something may come of both");
        let old = found("main", &[(50, "a"), (120, "b")]);
        assert_eq!(texts(seen.news(&old)), ["b"]);
    }
}
