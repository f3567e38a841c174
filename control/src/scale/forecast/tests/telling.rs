//! What is told of forecasts: what was learned, what is expected, and from where on more are asked for.

use super::*;

fn words(next: &[Outlook]) -> Vec<String> {
    next.iter().map(ToString::to_string).collect()
}

#[test]
fn a_forecast_of_too_little_that_came_says_so() {
    let mut days = Days::begin(0, DAILY, walk);
    days.until(6, 0, 0);
    assert!(
        days.wish().starts_with("nothing because only "),
        "{}",
        days.wish()
    );
}

#[test]
fn what_was_learned_what_is_expected_and_what_would_ask_for_more_are_told() {
    let mut days = Days::begin(0, DAILY, office_hours);
    days.until(1, 7, 0);
    assert_eq!(
        words(&days.next()),
        [
            "more than 0 by the forecast rule when the concurrency that it expects, once that \
             counts, passes 0.0",
            "the forecast rule knows 1 day: daily is not compared with what came for long enough; \
             weekly is not compared with what came for long enough",
        ]
    );
    days.until(3, 7, 58);
    let next = days.next();
    assert_eq!(
        words(&next)[1..],
        [
            "the forecast rule knows 3 days: daily counts, 100 % of what it expected came; weekly \
             is not compared with what came for long enough",
            "the forecast rule expects concurrency 34.7 at 08:00 (daily)",
        ]
    );
    days.until(8, 12, 0);
    let known = &words(&days.next())[1];
    assert!(
        known.starts_with("the forecast rule knows 1 week and 1 day: "),
        "{known}"
    );
}

#[test]
fn the_rule_asks_for_one_more_just_above_the_concurrency_that_is_told() {
    let mut days = Days::begin(0, DAILY, office_hours);
    days.until(3, 7, 58);
    let Some(Outlook::More(threshold)) = days.next().into_iter().next() else {
        panic!("{:?}", days.next());
    };
    let Edge::Above(load) = threshold.edge else {
        panic!("{threshold:?}");
    };
    let Rule::Forecast(rule) = &days.scaling.rules[1] else {
        panic!("{:?}", days.scaling.rules);
    };
    assert_eq!((threshold.rule, threshold.than), ("forecast", 6));
    assert_eq!(workers(rule, load * 0.9999), 6);
    assert_eq!(workers(rule, load * 1.001), 7);
}

#[test]
fn forecasts_that_do_not_come_true_are_told_with_their_share_and_expect_all_the_same() {
    let mut days = Days::begin(0, DAILY, walk);
    days.until(6, 0, 0);
    let next = days.next();
    let told = words(&next).join("\n");
    assert!(told.contains("daily does not count, "), "{told}");
    assert!(
        told.contains(" % of what it expected came, which must be 55 %"),
        "{told}"
    );
    assert!(told.contains("(daily), which does not count"), "{told}");
    let learned = next.iter().find_map(|next| match next {
        Outlook::Learned(learned) => Some(learned),
        _ => None,
    });
    let learned = learned.expect("what it knows");
    assert!(learned.proofs.iter().all(|proof| !proof.counts));
}
