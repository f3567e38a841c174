//! Bounds at certain times.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{SLOW, changes, config_of, hold, start, until_changed_to};

/// Without any rule, a load of nothing and a pace that lets go at once.
const NOTHING_TO_DO: &str = r#"
    scaling.max = 2
    scaling.down.stable_for = "1s"
    "#;

#[tokio::test]
async fn bounds_of_a_schedule_that_lasts_hold_in_both_directions() {
    // It begins every minute and lasts for an hour.
    let penstock = start(
        r#"
        scaling.max = 10
        scaling.rules = [
            { type = "backlog", target = 1 },
            { type = "schedule", cron = "* * * * *", duration = "1h", min = 2, max = 3 },
        ]
        "#,
    )
    .await;
    penstock.until_ready("chat", 2).await;
    let _requests = hold(&penstock, 9);
    penstock.until_ready("chat", 3).await;
    let changes = changes(&penstock).await;
    let last = changes.last().expect("a change");
    assert_eq!(last.counts().1, 3, "{changes:#?}");
    assert!(last.says("max is 3 by schedule"), "{changes:#?}");
    let status = penstock.admin().get("/api/v1/services/chat").await.json();
    let deployment = &status["deployments"][0];
    assert_eq!(
        (&deployment["min"], &deployment["max"]),
        (&2.into(), &3.into())
    );
}

#[tokio::test]
async fn when_its_time_is_over_the_workers_go() {
    let penstock = start(NOTHING_TO_DO).await;
    penstock.until_ready("chat", 1).await;
    // One that began with this minute and is over some seconds from now.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_1970.expect("a clock that is set").as_secs();
    let (hour, minute, lasts) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60 + 12);
    let schedule = format!(
        r#"
        {NOTHING_TO_DO}
        scaling.rules = [
            {{ type = "concurrency", target = 10, window = "1s" }},
            {{ type = "schedule", cron = "{minute} {hour} * * *", duration = "{lasts}s", min = 4, max = 6 }},
        ]
        "#
    );
    penstock.reload(&config_of(SLOW, &schedule)).await;
    let changes = until_changed_to(&penstock, 1).await;
    let [begins, ends] = &changes[..] else {
        panic!("not two changes: {changes:#?}")
    };
    assert_eq!((begins.counts(), &*begins.kind), ((1, 4), "schedule"));
    assert!(begins.says("min is 4 by schedule"), "{changes:#?}");
    assert_eq!((ends.counts(), &*ends.kind), ((4, 1), "load_fell"));
}
