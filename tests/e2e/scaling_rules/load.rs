//! Rules that follow the load.

use super::{changes, config_of, hold, start, until_a_wish_says, until_changed_to, wishes};
use crate::support::{Task, eventually, penstock::Penstock};

#[tokio::test]
async fn backlog_asks_for_workers_by_the_requests_that_are_there_and_lets_them_go_again() {
    let penstock = start(
        r#"
        max_concurrency = 4
        scaling = { max = 6, rules = [{ type = "backlog", target = 2 }], down = { stable_for = "1s" } }
        "#,
    )
    .await;
    penstock.until_ready("chat", 1).await;
    let requests = hold(&penstock, 7);
    penstock.until_ready("chat", 4).await;
    let up = changes(&penstock).await;
    assert!(up.iter().all(|change| change.kind == "backlog"), "{up:#?}");
    let last = up.last().expect("a change");
    assert_eq!(last.desired, Some(4));
    assert!(
        last.says("4 for 7 requests in flight or queued at 2 per worker"),
        "{last:#?}"
    );
    drop(requests);
    let down = until_changed_to(&penstock, 1).await;
    let down = &down[up.len()..];
    assert!(
        down.iter().all(|change| change.kind == "load_fell"),
        "{down:#?}"
    );
    penstock.until_known("chat", 1).await;
}

#[tokio::test]
async fn target_tracking_grows_and_does_not_shrink_while_the_scale_out_settles() {
    let penstock = start(
        r#"
        scaling.max = 10
        scaling.rules = [{ type = "target_tracking", metric = "concurrency_per_worker", target = 2 }]
        scaling.down.stable_for = "1s"
        "#,
    )
    .await;
    penstock.until_ready("chat", 1).await;
    let requests = hold(&penstock, 8);
    penstock
        .until("more workers", |metrics| {
            let ready = [("service", "chat"), ("state", "ready")];
            metrics.sum("penstock_workers", &ready) > 1.0
        })
        .await;
    drop(requests);
    until_a_wish_says(&penstock, "scale-out cooldown for").await;
    let changes = changes(&penstock).await;
    for change in &changes {
        assert_eq!(change.kind, "target_tracking", "{changes:#?}");
        let (before, desired) = change.counts();
        assert!(before < desired && desired <= 4, "{changes:#?}");
        assert!(change.says("for concurrency_per_worker"), "{changes:#?}");
    }
}

#[tokio::test]
async fn a_step_is_taken_once_and_what_it_added_counts_until_the_cooldown_is_over() {
    let penstock = start(
        r#"
        max_concurrency = 1
        scaling.max = 10
        scaling.rules = [{ type = "step", metric = "queued", threshold = 1, period = "1s",
            adjustment = "change", steps = [{ from = 0, by = 2 }] }]
        "#,
    )
    .await;
    penstock.until_ready("chat", 1).await;
    // One is served, five wait; with two more workers three still wait, which is a reason for two
    // more again, counted from the one there was.
    let _requests = hold(&penstock, 6);
    penstock.until_ready("chat", 3).await;
    eventually("a look at the three that wait", async || {
        let wishes = wishes(&penstock).await;
        let waiting = wishes.iter().find_map(|wish| {
            let (queued, rest) = wish.split_once("for queued ")?.1.split_once(", ")?;
            let waits = rest.starts_with("threshold 1: scale-out cooldown for");
            waits.then_some(queued.parse::<f64>().ok()?)
        });
        // Measured between two reports, which a busy machine may bring late.
        waiting.filter(|queued| (2.0..4.0).contains(queued))
    })
    .await;
    let changes = changes(&penstock).await;
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!((changes[0].counts(), &*changes[0].kind), ((1, 3), "step"));
}

#[tokio::test]
async fn requests_that_find_no_worker_wake_one_and_the_rule_about_them_adds_more() {
    let slow_start = "--load-time 2s --time-to-first-token 0s --tokens-per-second 10";
    let penstock = Penstock::start(&config_of(
        slow_start,
        r#"
        scaling.min = 0
        scaling.max = 10
        scaling.rules = [
            { type = "step", metric = "no_capacity_requests", threshold = 2, period = "1s",
              adjustment = "change", steps = [{ from = 0, by = 2 }] },
            { type = "concurrency", target = 100 },
        ]
        "#,
    ))
    .await;
    let mut requests = hold(&penstock, 1);
    until_changed_to(&penstock, 1).await;
    requests.extend(hold(&penstock, 5));
    penstock.until_ready("chat", 3).await;
    let changes = changes(&penstock).await;
    let kinds: Vec<_> = changes.iter().map(|change| &*change.kind).collect();
    assert_eq!(kinds, ["wake", "step"], "{changes:#?}");
    assert!(changes[1].says("for no_capacity_requests"), "{changes:#?}");
    // New workers take more and more of them, although none is answered.
    penstock.until_load("chat", 6, 0).await;
}

#[tokio::test]
async fn queue_wait_adds_workers_until_the_wait_is_short() {
    // A fifth of a second for a request, one at a time.
    let penstock = Penstock::start(&config_of(
        "--load-time 0s --time-to-first-token 200ms --tokens-per-second 100000",
        r#"
        max_concurrency = 1
        scaling.max = 10
        scaling.rules = [{ type = "queue_wait", target = "1s" }]
        "#,
    ))
    .await;
    penstock.until_ready("chat", 1).await;
    let _clients: Vec<Task> = (0..10).map(|_| one_after_the_other(&penstock)).collect();
    until_a_wish_says(&penstock, "for waits of at most 1.0 s").await;
    penstock
        .until("a second worker", |metrics| {
            metrics.sum(
                "penstock_workers",
                &[("service", "chat"), ("state", "ready")],
            ) >= 2.0
        })
        .await;
    let changes = changes(&penstock).await;
    assert!(
        changes.iter().all(|change| change.kind == "queue_wait"),
        "{changes:#?}"
    );
    assert!(changes[0].says(" requests per second of "), "{changes:#?}");
}

#[tokio::test]
async fn of_several_rules_the_largest_wish_wins_and_all_are_shown() {
    let penstock = start(
        r#"
        scaling.max = 10
        scaling.rules = [
            { type = "concurrency", target = 100 },
            { type = "backlog", target = 5 },
            { type = "target_tracking", metric = "requests_per_second", target = 1000 },
        ]
        "#,
    )
    .await;
    penstock.until_ready("chat", 1).await;
    let _requests = hold(&penstock, 11);
    penstock.until_ready("chat", 3).await;
    let changes = changes(&penstock).await;
    let last = changes.last().expect("a change");
    assert_eq!(last.kind, "backlog", "{last:#?}");
    assert!(
        last.text.ends_with("the backlog rule asks for 3"),
        "{last:#?}"
    );
    for words in [
        "for concurrency",
        "requests in flight or queued",
        "for requests_per_second",
    ] {
        assert!(last.says(words), "{words}: {last:#?}");
    }
    assert_eq!(wishes(&penstock).await.len(), 3);
}

/// A client that asks again as soon as it has its answer.
fn one_after_the_other(penstock: &Penstock) -> Task {
    const ASK: &str =
        r#"{"model":"demo","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    let client = penstock.client("chat");
    Task::spawn(async move {
        loop {
            client.post("/v1/chat/completions", ASK).await;
        }
    })
}
