//! Every scaling rule through the real binary: real reports, real workers, and the reason in the
//! journal.

mod load;
mod pace;
mod schedule;

use serde::Deserialize;

use crate::support::{
    Task,
    client::full,
    eventually,
    penstock::{Penstock, simulated},
};

/// A worker that is ready at once and takes its time with every answer.
const SLOW: &str = "--load-time 0s --time-to-first-token 0s --tokens-per-second 10 --batch 1000";

/// An answer of a quarter of an hour.
const LONG: &str = r#"{"model":"demo","max_tokens":9000,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// A service `chat` of such workers with these settings of its deployment.
fn config_of(worker: &str, settings: &str) -> String {
    let command = simulated(worker);
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}
        {settings}
        "#
    )
}

async fn start(settings: &str) -> Penstock {
    Penstock::start(&config_of(SLOW, settings)).await
}

/// So many requests that last until they are dropped.
fn hold(penstock: &Penstock, count: usize) -> Vec<Task> {
    let request = || {
        let client = penstock.client("chat");
        Task::spawn(async move {
            let request = client.request(http::Method::POST, "/v1/chat/completions", full(LONG));
            if let Ok(answer) = client.try_send(request).await {
                let _ = answer.try_whole().await;
            }
        })
    };
    (0..count).map(|_| request()).collect()
}

/// A change of the number of workers, from the journal.
#[derive(Debug, Deserialize)]
struct Change {
    at_ms: u64,
    kind: String,
    text: String,
    before: Option<u32>,
    desired: Option<u32>,
    record: Option<Record>,
}

/// What a change was made from.
#[derive(Debug, Deserialize)]
struct Record {
    wishes: Vec<InWords>,
    clamps: Vec<InWords>,
}

#[derive(Debug, Deserialize)]
struct InWords {
    words: String,
}

impl Change {
    fn counts(&self) -> (u32, u32) {
        let known = "every change says from what to what";
        (self.before.expect(known), self.desired.expect(known))
    }

    fn says(&self, words: &str) -> bool {
        let record = self.record.iter();
        let mut all = record.flat_map(|record| record.wishes.iter().chain(&record.clamps));
        all.any(|one| one.words.contains(words))
    }
}

/// All changes of the number of workers, oldest first.
async fn changes(penstock: &Penstock) -> Vec<Change> {
    let journal = "/api/v1/journal?service=chat&limit=1000";
    let page = penstock.admin().get(journal).await;
    let entries: Vec<Change> = serde_json::from_slice(&page.body).expect("a journal");
    let mut changes: Vec<_> = entries.into_iter().collect();
    changes.retain(|entry| entry.desired.is_some());
    changes.reverse();
    changes
}

/// Waits for the change to so many workers; all changes up to it.
async fn until_changed_to(penstock: &Penstock, desired: u32) -> Vec<Change> {
    let what = format!("a change to {desired} workers");
    eventually(&what, async || {
        let changes = changes(penstock).await;
        let last = changes.last()?;
        (last.desired == Some(desired)).then_some(changes)
    })
    .await
}

/// What the only deployment's rules ask for now.
async fn wishes(penstock: &Penstock) -> Vec<String> {
    let status = penstock.admin().get("/api/v1/services/chat").await.json();
    let wishes = status["deployments"][0]["wishes"].as_array();
    let wishes = wishes.expect("wishes").iter();
    wishes
        .map(|wish| wish.as_str().unwrap().to_owned())
        .collect()
}

/// Waits until a rule says these words.
async fn until_a_wish_says(penstock: &Penstock, words: &str) {
    eventually(&format!("a wish that says {words:?}"), async || {
        let wishes = wishes(penstock).await;
        wishes.iter().any(|wish| wish.contains(words)).then_some(())
    })
    .await;
}
