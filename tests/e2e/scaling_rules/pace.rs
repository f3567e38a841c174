//! How fast the number of workers may change.

use super::{Change, SLOW, config_of, hold, start, until_changed_to};

const EIGHT: &str = r#"
    scaling.max = 8
    scaling.rules = [{ type = "backlog", target = 1 }]
    "#;

#[tokio::test]
async fn up_only_so_many_percent_in_any_period() {
    let penstock = start("scaling.max = 1").await;
    penstock.until_ready("chat", 1).await;
    // All are there before the first decision about them.
    let _requests = hold(&penstock, 20);
    penstock
        .until("all requests", |metrics| {
            let all = ["penstock_in_flight", "penstock_queued"];
            all.map(|name| metrics.sum(name, &[])).iter().sum::<f64>() == 20.0
        })
        .await;
    let pace = r#"scaling.up = { percent = 100, period = "2s" }"#;
    penstock
        .reload(&config_of(SLOW, &format!("{EIGHT}{pace}")))
        .await;
    let changes = until_changed_to(&penstock, 8).await;
    let counts: Vec<_> = changes.iter().map(Change::counts).collect();
    assert_eq!(counts, [(1, 2), (2, 4), (4, 8)]);
    for (change, clamps) in changes.iter().zip([
        vec!["max is 8", "up pace allows 2"],
        vec!["max is 8", "up pace allows 4"],
        vec!["max is 8"],
    ]) {
        for clamp in clamps {
            assert!(change.says(clamp), "{clamp}: {change:#?}");
        }
    }
    // The clock of the journal has milliseconds.
    for pair in changes.windows(2) {
        assert!(pair[1].at_ms + 1 >= pair[0].at_ms + 2000, "{changes:#?}");
    }
}

#[tokio::test]
async fn down_only_so_many_at_a_time_and_so_many_percent_in_any_period() {
    let pace = r#"scaling.down = { stable_for = "1s", step = 3, percent = 50, period = "3s" }"#;
    let penstock = start(&format!("{EIGHT}{pace}")).await;
    let requests = hold(&penstock, 8);
    penstock.until_ready("chat", 8).await;
    drop(requests);
    let changes = until_changed_to(&penstock, 1).await;
    let down: Vec<&Change> = changes
        .iter()
        .filter(|change| change.kind == "load_fell")
        .collect();
    // Three, then one more makes half of what there were; from four on one step may take two.
    assert_eq!(down[0].counts(), (8, 5), "{changes:#?}");
    assert!(down[0].says("one step leads to 5"), "{changes:#?}");
    // Unless the machine stood still for all of the period.
    if down[1].at_ms + 1 < down[0].at_ms + 3000 {
        assert_eq!(down[1].counts(), (5, 4), "{changes:#?}");
        assert!(down[1].says("down pace allows 4"), "{changes:#?}");
    }
    for (place, first) in down.iter().enumerate() {
        let (before, _) = first.counts();
        let within = down[place..]
            .iter()
            .take_while(|change| change.at_ms + 1 < first.at_ms + 3000);
        let least = within.map(|change| change.counts().1).min();
        assert!(least >= Some(before.div_ceil(2)), "{changes:#?}");
    }
}
