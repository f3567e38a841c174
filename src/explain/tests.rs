use jiff::tz::TimeZone;
use penstock_control::explain::Explanation;
use serde_json::{Value, json};

use super::{
    layout::Page,
    time::{Times, ago},
};

/// A deployment under a load that asks for more than `max`, as the API tells of it.
fn crowded() -> Value {
    let wishes = json!([
        {"rule": "concurrency", "workers": 7, "shrinks": true, "won": true,
         "words": "7 for concurrency 12.6 (and 1.1 for chance) at 2 per worker"},
        {"rule": "backlog", "workers": 2, "shrinks": false, "won": false,
         "words": "2 for 14 requests in flight or queued at 8 per worker, but no fewer than there are"},
    ]);
    let clamps = json!([{"clamp": "max", "workers": 3, "words": "max is 3"}]);
    let inputs = json!({
        "in_flight": 6, "queued": 8, "arrivals_per_second": 4.25, "mean_arrivals_per_second": 3.0,
        "mean_concurrency": 9.5, "ready": 2, "starting": 1, "draining": 0,
        "start_p50_seconds": 30.0, "start_p90_seconds": 42.0, "hold": null,
    });
    let start =
        "worker 2 has been starting for 12 s, which takes 30 s, in nine of ten cases at most 42 s";
    let change = json!({
        "reason": "concurrency rose to 12.6, 2 per worker", "inputs": inputs, "wishes": wishes,
        "clamps": clamps,
        "plan": [{"action": "start", "worker": 2, "words": "worker 2 is started"}],
    });
    json!({
        "service": "chat", "deployment": "stable",
        "present": {
            "at_ms": 100_000, "desired": 3, "min": 1, "max": 3, "phase": "warm",
            "reason": "at_maximum", "reason_text": "the load asks for 7, max is reached",
            "inputs": inputs, "wishes": wishes, "clamps": clamps,
            "plan": [{"action": "wait", "worker": 2, "words": start}],
            "next": [{"what": "no_more", "workers": 3, "words": "no more: max is 3"}],
        },
        "journal": [
            {"at_ms": 90_000, "service": "chat", "deployment": "stable", "kind": "worker_ended",
             "text": "worker 1 ended: exit status 1"},
            {"at_ms": 88_000, "service": "chat", "deployment": "stable", "kind": "worker_starting",
             "text": "worker 2 is being started"},
            {"at_ms": 88_000, "service": "chat", "deployment": "stable", "kind": "load_rose",
             "text": "2 → 3 workers: concurrency rose to 12.6, 2 per worker",
             "before": 2, "desired": 3, "record": change},
            {"at_ms": 5_000, "service": "chat", "deployment": "stable", "kind": "wake",
             "text": "0 → 2 workers: woken", "before": 0, "desired": 2,
             "details": ["ready workers: 0"]},
        ],
    })
}

fn text(explanation: Value, columns: Option<usize>) -> String {
    let found: Explanation = serde_json::from_value(explanation).expect("as the API gives it");
    let page = Page::new(columns, Times::of(TimeZone::UTC));
    anstream::adapter::strip_str(&page.explanations(&[found])).to_string()
}

#[test]
fn eighty_columns_hold_everything() {
    let text = text(crowded(), Some(80));
    let expected = "\
chat/stable: 3 desired (1–3), 2 ready, 1 starting, warm
  why       the load asks for 7, max is reached
  inputs    6 in flight, 8 queued (9.5 over the last minute), 4.2 requests per
            second (3.0); 2 ready, 1 starting; starts take 30.0 s, nine of ten
            at most 42.0 s
  rules     * concurrency: 7 for concurrency 12.6 (and 1.1 for chance) at 2 per
              worker
              backlog: 2 for 14 requests in flight or queued at 8 per worker,
              but no fewer than there are
  limits    max is 3
  plan      worker 2 has been starting for 12 s, which takes 30 s, in nine of
            ten cases at most 42 s
  next      no more: max is 3

CHANGES (the newest last)
1970-01-01 00:00:05 +00:00 (1m 35s ago)  0 → 2 workers: woken
  details   ready workers: 0
1970-01-01 00:01:28 +00:00 (12s ago)  2 → 3 workers: concurrency rose to
    12.6, 2 per worker
  inputs    6 in flight, 8 queued (9.5 over the last minute), 4.2 requests per
            second (3.0); 2 ready, 1 starting; starts take 30.0 s, nine of ten
            at most 42.0 s
  rules     * concurrency: 7 for concurrency 12.6 (and 1.1 for chance) at 2 per
              worker
              backlog: 2 for 14 requests in flight or queued at 8 per worker,
              but no fewer than there are
  limits    max is 3
  done      worker 2 is started
  then      00:01:30 worker 1 ended: exit status 1
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_program_that_reads_it_gets_one_line_for_each_thing() {
    let text = text(crowded(), None);
    let line =
        "  rules     * concurrency: 7 for concurrency 12.6 (and 1.1 for chance) at 2 per worker";
    assert_eq!(
        text.lines().filter(|found| *found == line).count(),
        2,
        "{text}"
    );
}

#[test]
fn a_deployment_that_never_changed_says_so_and_many_events_are_counted() {
    let mut quiet = crowded();
    let mut entries = quiet["journal"].take();
    quiet["journal"] = json!([]);
    assert!(text(quiet, None).ends_with("CHANGES (the newest last)\n  none\n"));
    let ended = entries[0].clone();
    let entries = entries.as_array_mut().expect("a list");
    entries.splice(0..0, vec![ended; 20]);
    let mut crashing = crowded();
    crashing["journal"] = Value::Array(entries.clone());
    let text = text(crashing, None);
    assert!(
        text.ends_with("            … and 13 more events\n"),
        "{text}"
    );
}

#[test]
fn times_are_those_of_the_place_and_words_of_workers_move_no_cursor() {
    let berlin = TimeZone::get("Europe/Berlin").expect("a known place");
    let times = Times::of(berlin);
    assert_eq!(times.date(1_750_000_000_000), "2025-06-15 17:06:40 +02:00");
    assert_eq!(times.time(0), "01:00:00");
    assert_eq!(times.date(u64::MAX), "?");
    assert_eq!(ago(1_000, 3_662_000), "1h 1m ago");
    let mut nasty = crowded();
    nasty["present"]["reason_text"] = json!("\u{1b}[2J");
    assert!(text(nasty, None).contains("why       \u{fffd}[2J"));
}
