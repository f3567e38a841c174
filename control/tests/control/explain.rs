//! Decisions explained, and decisions that are only advice.

use penstock_control::explain::{Explanation, Step};

use crate::harness::{Harness, chat, draining};

/// A worker for every request, as they are now.
fn scaling(settings: &str) -> String {
    let rules = "rules = [{ type = \"backlog\", target = 1 }]";
    let down = "down = { stable_for = \"1ms\" }";
    chat(
        "quick",
        &format!("scaling = {{ {settings}, {down}, {rules} }}"),
    )
}

async fn explain(harness: &Harness) -> Explanation {
    let asked = harness.control.explain("chat".to_owned(), None, 100, 0);
    let mut found = asked.await.expect("there is a service chat");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Reports so many waiting requests until the decision is as wanted; some need a tick or two.
async fn queued_until(
    harness: &mut Harness,
    queued: u32,
    wanted: impl Fn(&Explanation) -> bool,
) -> Explanation {
    obeying_until(harness, None, queued, wanted).await
}

/// The same of a gateway that obeys only the snapshot of this generation.
async fn obeying_until(
    harness: &mut Harness,
    obeyed: Option<u64>,
    queued: u32,
    wanted: impl Fn(&Explanation) -> bool,
) -> Explanation {
    harness
        .eventually(async |harness| {
            let generation = obeyed.unwrap_or_else(|| harness.generation());
            harness.report(generation, queued, &[]).await;
            Some(explain(harness).await).filter(|found| wanted(found))
        })
        .await
}

fn advised(found: &Explanation) -> Option<u32> {
    found.present.advice.as_ref().map(|advice| advice.workers)
}

#[tokio::test]
async fn more_than_max_is_told_once_and_not_with_every_tick() {
    let mut harness = Harness::start(&scaling("min = 1, max = 2")).await;
    harness.until_ready(1).await;
    let found = queued_until(&mut harness, 2, |found| found.present.desired == 2).await;
    assert_eq!(found.present.clamps, []);
    let limited = |found: &Explanation| !found.present.clamps.is_empty();
    let found = queued_until(&mut harness, 7, limited).await;
    let won: Vec<_> = found.present.wishes.iter().map(|wish| wish.won).collect();
    assert_eq!((won, found.present.clamps[0].workers), (vec![true], 2));
    let next = &found.present.next[0];
    assert_eq!(
        (&*next.what, next.workers, &*next.words),
        ("no_more", Some(2), "no more: max is 2")
    );
    for _ in 0..50 {
        let generation = harness.generation();
        harness.report(generation, 7, &[]).await;
        explain(&harness).await;
    }
    let told = harness.journal("limited").await;
    assert_eq!(
        told,
        ["2 workers stay: the load asks for 7, max is reached"]
    );
}

#[tokio::test]
async fn a_worker_that_drains_says_what_it_waits_for() {
    let mut harness = Harness::start(&scaling("min = 1, max = 2")).await;
    harness.until_ready(1).await;
    queued_until(&mut harness, 2, |found| found.present.desired == 2).await;
    let workers = harness.until_ready(2).await;
    let busy = [(&workers[0], 1), (&workers[1], 1)];
    let before = Some(harness.generation());
    let one = |found: &Explanation| found.present.desired == 1;
    obeying_until(&mut harness, before, 0, one).await;
    harness.until(|found| draining(found).len() == 1).await;
    let waits = |step: &Step| {
        let words = &step.words;
        step.action == "wait"
            && words.contains("waits for 1 request in flight, ")
            && words.ends_with(" s at most")
    };
    harness
        .eventually(async |harness| {
            let generation = harness.generation();
            harness.report(generation, 0, &busy).await;
            let plan = explain(harness).await.present.plan;
            plan.iter().any(waits).then_some(())
        })
        .await;
}

#[tokio::test]
async fn advice_changes_nothing_but_bounds_do() {
    let mut harness = Harness::start(&scaling("mode = \"advise\", min = 0, max = 9")).await;
    harness.until_ready(1).await;
    let found = queued_until(&mut harness, 5, |found| advised(found) == Some(5)).await;
    assert_eq!(found.present.desired, 1);
    assert_eq!(found.present.reason, "advise");
    harness
        .apply(&scaling("mode = \"advise\", min = 3, max = 9"))
        .await;
    harness.until_ready(3).await;
    // It stays there when they let it.
    harness
        .apply(&scaling("mode = \"advise\", min = 0, max = 9"))
        .await;
    queued_until(&mut harness, 6, |found| advised(found) == Some(6)).await;
    assert_eq!(harness.until_ready(3).await.len(), 3);
    let down = queued_until(&mut harness, 0, |found| advised(found) == Some(1)).await;
    assert_eq!(down.present.desired, 3);
    harness
        .apply(&scaling("mode = \"advise\", min = 0, max = 2"))
        .await;
    harness.until_ready(2).await;
    let advice = harness.journal("advice").await;
    assert!(
        advice[0].starts_with("advice: 0 → 1 workers: "),
        "{advice:?}"
    );
    assert!(
        advice.iter().any(|line| line.ends_with("; 1 are kept")),
        "{advice:?}"
    );
}

#[tokio::test]
async fn advice_is_followed_from_the_workers_there_are_when_the_mode_changes() {
    let mut harness = Harness::start(&scaling("mode = \"advise\", min = 2, max = 9")).await;
    harness.until_ready(2).await;
    queued_until(&mut harness, 5, |found| advised(found) == Some(5)).await;
    harness.apply(&scaling("min = 2, max = 9")).await;
    harness.until_ready(5).await;
    assert_eq!(advised(&explain(&harness).await), None);
    let changes = harness.journal("backlog").await;
    assert!(changes[0].starts_with("2 → 5 workers"), "{changes:?}");
    // And back: they stay.
    harness
        .apply(&scaling("mode = \"advise\", min = 2, max = 9"))
        .await;
    let kept = queued_until(&mut harness, 1, |found| advised(found) == Some(2)).await;
    assert_eq!(kept.present.desired, 5);
}

#[tokio::test]
async fn a_crashed_worker_is_replaced_and_the_count_outlives_every_restart() {
    let advise = scaling("mode = \"advise\", min = 0, max = 9");
    let mut harness = Harness::start(&scaling("mode = \"advise\", min = 3, max = 9")).await;
    let workers = harness.until_ready(3).await;
    harness.apply(&advise).await;
    harness.driver.crash(&workers[0]);
    harness.until(|found| found.workers.len() == 2).await;
    harness.until_ready(3).await;
    let mut harness = harness.again(&advise).await;
    harness.until_ready(3).await;
    assert_eq!(explain(&harness).await.present.desired, 3);
    // All workers end with a shutdown, and come back with the next start.
    harness.control.shutdown().await;
    assert_eq!(harness.driver.running(), []);
    let mut harness = harness.again(&advise).await;
    harness.until_ready(3).await;
}
