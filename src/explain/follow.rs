//! Changes as they happen.

use std::{collections::HashMap, time::Duration};

use penstock_control::{explain::Explanation, store::JournalEntry};

use super::{ExplainArgs, ask, page, print};
use crate::admin_client::AdminClient;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Changes asked for with every look: more do not happen in the meantime.
const CHANGES: u32 = 100;

/// The newest entries seen of each deployment: all of one millisecond, for there may be more of it.
#[derive(Default)]
struct Seen(HashMap<String, Vec<JournalEntry>>);

impl Seen {
    /// Entries that are new, oldest first.
    fn news(&mut self, found: &Explanation) -> Vec<JournalEntry> {
        let known = self.0.entry(found.deployment.clone()).or_default();
        let last_ms = known.last().map_or(0, |entry| entry.at_ms);
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
        let newest = self.0.values().filter_map(|known| known.last());
        newest.map(|entry| entry.at_ms).min().unwrap_or(0)
    }
}

/// Prints what was found, then what comes. Never returns unless nobody reads any more: a Penstock
/// that is restarted meanwhile is waited for.
pub(super) async fn follow(
    client: &AdminClient,
    args: &ExplainArgs,
    found: Vec<Explanation>,
) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    found.iter().for_each(|found| drop(seen.news(found)));
    print(&if args.json {
        serde_json::to_string(&found)? + "\n"
    } else {
        page().explanations(&found)
    })?;
    loop {
        tokio::time::sleep(EVERY).await;
        match ask(client, &args.target, CHANGES, seen.since_ms()).await {
            Ok(found) => {
                for found in &found {
                    print(&text(args, found, &seen.news(found))?)?;
                }
            }
            Err(error) => eprintln!("penstock: {error:#}"),
        }
    }
}

fn text(args: &ExplainArgs, found: &Explanation, news: &[JournalEntry]) -> anyhow::Result<String> {
    let mut text = String::new();
    for entry in news {
        text += &if args.json {
            serde_json::to_string(entry)? + "\n"
        } else {
            page().news(entry, found)
        };
    }
    Ok(text)
}
