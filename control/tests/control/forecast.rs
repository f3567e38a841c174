//! What was learned before control was restarted.

use std::time::{Duration, SystemTime};

use penstock_control::store::DemandRow;

use crate::harness::{Harness, chat, ready};

const SETTINGS: &str =
    "scaling = { min = 0, max = 4, rules = [{ type = \"forecast\", target = 10 }] }";

/// Buckets of a day, of five minutes each.
const PER_DAY: u64 = 288;

/// A week in which there was no load until now, in the time of the day, and thirty requests at a time
/// from five minutes later on.
fn a_week(deployment: &str) -> Vec<DemandRow> {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().expect("it is later");
    let now = since_1970.as_secs() / Duration::from_secs(300).as_secs();
    let today = now / PER_DAY;
    let is_busy = |bucket: u64| {
        let later = (bucket + PER_DAY - now % PER_DAY) % PER_DAY;
        (1..20).contains(&later)
    };
    let means = (0..PER_DAY).map(|bucket| if is_busy(bucket) { 30.0_f32 } else { 0.0 });
    let means: Vec<u8> = means.flat_map(f32::to_le_bytes).collect();
    let days = today - 8..=today;
    days.map(|day| DemandRow {
        service: "chat".to_owned(),
        deployment: deployment.to_owned(),
        day,
        means: means.clone(),
    })
    .collect()
}

#[tokio::test]
async fn load_that_came_every_day_wakes_workers_before_it_comes_again() {
    let left = a_week("stable");
    let mut harness = Harness::start_after(left, &chat("quick", SETTINGS)).await;
    // What comes is foreseen only while it is known what there is.
    harness
        .eventually(async |harness| {
            harness.report_nothing().await;
            let fleet = harness.fleet.borrow();
            (ready(&fleet.services[0].deployments[0]).len() >= 4).then_some(())
        })
        .await;
    let woken = harness.journal("forecast").await;
    assert!(
        woken[0].starts_with("0 → 1 workers: concurrency "),
        "{woken:?}"
    );
    let status = harness.control.status().await.expect("control lives");
    let wishes = &status.services[0].deployments[0].wishes;
    assert!(
        wishes
            .iter()
            .any(|wish| wish.contains("every day, seen 7 times")),
        "{wishes:?}"
    );
}

#[tokio::test]
async fn the_load_of_a_deployment_that_is_gone_is_forgotten() {
    let mut left = a_week("stable");
    left.extend(a_week("removed"));
    left.extend(a_week("long-gone"));
    let removed = "[services.chat.deployments.removed]\nprocess = { command = [\"other\"] }\n";
    let both = chat("quick", "scaling = { min = 0 }") + removed + "scaling = { min = 0 }\n";
    let harness = Harness::start_after(left, &both).await;
    harness.apply(&chat("quick", "scaling = { min = 0 }")).await;
    let remembered = harness.end().await;
    let mut names: Vec<_> = remembered
        .demand
        .iter()
        .map(|row| row.deployment.as_str())
        .collect();
    names.dedup();
    assert_eq!(names, ["stable"]);
}
