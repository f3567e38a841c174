//! What people see.

use anstream::adapter::strip_str;
use serde_json::{Value, json};

use super::*;

fn deployment() -> Value {
    json!({
        "name": "stable", "host": "stable--chat.local.localhost", "weight": 90, "file_weight": 90, "removed": false,
        "phase": "degraded", "phase_reason": "1 worker waits for room: no GPU is free",
        "no_room": "1 worker waits for room: no GPU is free",
        "troubles": ["1 worker waits for room: no GPU is free", "1 of 2 workers fail their readiness probe"],
        "restarts": 2, "last_exit": {"seconds_ago": 63.5, "reason": "worker 1: exit status 1"},
        "desired": 3, "min": 0, "max": 4, "in_flight": 57, "queued": 100,
        "reason": "load_rose", "reason_text": "concurrency rose to 57.0, 20 per worker",
        "wishes": ["3 for concurrency 57.0"], "clamps": ["max is 4"], "start_estimate": 3.06,
        "workers": [
            {"id": "a", "slot": 0, "state": "ready", "address": "127.0.0.1:2000", "in_flight": 57, "ejected": false,
             "age": 3723.5, "outdated": true, "probe_failure": null},
            {"id": "b", "slot": 1, "state": "not_ready", "address": "127.0.0.1:2001", "in_flight": 0,
             "age": 2.9, "outdated": false, "probe_failure": "GET /health: \u{1b}[31mstatus 503\n"},
        ],
    })
}

fn service() -> Value {
    json!({
        "name": "chat", "display_name": "Chat ☃", "hosts": ["chat.local.localhost", "chat.example.org"],
        "removed": false, "settings": ["split: weights"], "deployments": [deployment()],
    })
}

fn status(last_error: Option<&str>, gateway: Option<u64>) -> Status {
    serde_json::from_value(json!({
        "generation": 7, "gateway_generation": gateway,
        "config": {"hash": "0", "loaded_at_ms": 1_000, "last_error": last_error},
        "services": [service()],
    }))
    .unwrap()
}

fn plain(text: &str) -> String {
    strip_str(text)
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

#[test]
fn every_service_deployment_and_worker_has_a_row() {
    let expected = "\
configuration of 1970-01-01T00:00:01Z, generation 7

chat/stable is degraded: 1 worker waits for room: no GPU is free

NAME      STATE      IN-FLIGHT  QUEUED  DETAILS
chat                        57     100  chat.local.localhost
  stable  degraded          57     100  1 ready, 3 desired (0–4)
      1 worker waits for room: no GPU is free
      1 of 2 workers fail their readiness probe
      2 workers have ended unasked, the last 1m 3s ago: worker 1: exit status 1
      concurrency rose to 57.0, 20 per worker
    #0    ready             57          127.0.0.1:2000  1h 2m, outdated
    #1    not ready          0          127.0.0.1:2001  2s
      GET /health: \u{fffd}[31mstatus 503
";
    assert_eq!(plain(&overview(&status(None, Some(7)))), expected);
}

#[test]
fn a_single_service_is_shown_with_the_numbers_behind_its_size_and_what_happened() {
    let journal = json!([
        {"at_ms": 3_000, "service": "chat", "deployment": "stable", "kind": "worker_ready", "text": "worker 1 is ready"},
        {"at_ms": 2_000, "service": "chat", "deployment": "stable", "kind": "wake", "text": "0 → 1 workers",
         "before": 0, "desired": 1, "details": ["a"]},
    ]);
    let mut value = service();
    value["journal"] = journal;
    let expected = "\
configuration of 1970-01-01T00:00:01Z, generation 7

NAME      STATE      IN-FLIGHT  QUEUED  DETAILS
chat                        57     100  chat.local.localhost chat.example.org
      Chat ☃
      split: weights
  stable  degraded          57     100  1 ready, 3 desired (0–4), weight 90, starts in 3.1 s
      1 worker waits for room: no GPU is free
      1 of 2 workers fail their readiness probe
      2 workers have ended unasked, the last 1m 3s ago: worker 1: exit status 1
      concurrency rose to 57.0, 20 per worker
      own host: stable--chat.local.localhost
      wish: 3 for concurrency 57.0
      limit: max is 4
    #0    ready             57          127.0.0.1:2000  1h 2m, outdated
    #1    not ready          0          127.0.0.1:2001  2s
      GET /health: \u{fffd}[31mstatus 503

LATEST
1970-01-01T00:00:02Z  stable  wake  0 → 1 workers
1970-01-01T00:00:03Z  stable  worker_ready  worker 1 is ready
";
    let shown = |value: &Value| {
        let detail_of = serde_json::from_value(value.clone()).unwrap();
        plain(&detail(&status(None, Some(7)), &detail_of))
    };
    assert_eq!(shown(&value), expected);

    // Own hosts may be bound to a key, or turned off.
    value["deployments"][0]["host_needs_key"] = true.into();
    let bound =
        "own host: stable--chat.local.localhost, which asks for the key of `deployment_hosts`";
    assert!(shown(&value).contains(bound), "{}", shown(&value));
    value["deployments"][0]["host"] = json!(null);
    assert!(!shown(&value).contains("own host"), "{}", shown(&value));
}

#[test]
fn a_refused_configuration_stands_first() {
    let text = plain(&overview(&status(
        Some("penstock.toml:3: bad\npenstock.toml:9: worse"),
        None,
    )));
    let expected = "\
The new configuration was refused; the one before stays in force:
  penstock.toml:3: bad
  penstock.toml:9: worse

configuration of 1970-01-01T00:00:01Z, generation 7, no gateway reports
";
    assert!(text.starts_with(expected), "{text}");
    let behind = plain(&overview(&status(None, Some(5))));
    assert!(
        behind.starts_with(
            "configuration of 1970-01-01T00:00:01Z, generation 7, gateway still at 5\n"
        )
    );
}

#[test]
fn a_time_beyond_all_calendars_is_no_reason_to_fail() {
    assert_eq!(at(u64::MAX), "?");
}

#[test]
fn what_is_paused_says_since_when_why_and_how_to_resume_it() {
    let paused = |reason: Value| json!({"since_ms": 1_000, "until_ms": 9_000, "by": "ann", "reason": reason});
    let mut service = service();
    service["paused"] = paused(json!("new\u{7}GPUs"));
    let stable = &mut service["deployments"][0];
    stable["paused"] = paused(Value::Null);
    stable["phase"] = json!("paused");
    stable["phase_reason"] = json!("not told twice");
    stable["reason_text"] = json!("nor this");
    (stable["troubles"], stable["restarts"]) = (json!([]), json!(0));
    (stable["last_exit"], stable["workers"]) = (Value::Null, json!([]));
    let mut status = status(None, Some(7));
    status.services = vec![serde_json::from_value(service).unwrap()];
    let expected = "\
configuration of 1970-01-01T00:00:01Z, generation 7

NAME      STATE   IN-FLIGHT  QUEUED  DETAILS
chat                     57     100  chat.local.localhost
      paused since 1970-01-01T00:00:01Z until 1970-01-01T00:00:09Z by ann: new\u{fffd}GPUs (penstock resume chat)
  stable  paused         57     100  0 ready, 3 desired (0–4)
      paused since 1970-01-01T00:00:01Z until 1970-01-01T00:00:09Z by ann (penstock resume chat/stable)
";
    assert_eq!(plain(&overview(&status)), expected);
}

#[test]
fn what_waits_by_class_and_what_became_of_copies_is_told_where_there_are_any() {
    let mut service = service();
    service["classes"] =
        json!([{"name": "batch", "queued": 97}, {"name": "chat\u{7}", "queued": 3}]);
    service["mirror"] = json!({
        "to": "next", "percent": 12.5, "in_flight": 2, "sent": 1034, "dropped": 12, "compared": 0,
        "different": 0,
    });
    service["deployments"] = json!([]);
    let mut status = status(None, Some(7));
    let mut told = |service: &Value| {
        status.services = vec![serde_json::from_value(service.clone()).unwrap()];
        plain(&overview(&status))
    };
    let expected = "\
      queued by class: 97 batch, 3 chat\u{fffd}
      mirror to next (12.5 %): 2 in flight, 1034 sent, 12 dropped
";
    let text = told(&service);
    assert!(text.ends_with(expected), "{text}");
    service["mirror"]["compared"] = json!(1000);
    service["mirror"]["different"] = json!(3);
    let text = told(&service);
    let compared = "12 dropped; 3 of 1000 answers have another status\n";
    assert!(text.ends_with(compared), "{text}");
}

#[test]
fn a_state_file_that_cannot_be_written_comes_first() {
    let mut status = status(Some("bad"), None);
    status.state_failure = Some("the state file cannot be written (disk full)".to_owned());
    let text = plain(&overview(&status));
    assert!(
        text.starts_with("the state file cannot be written (disk full)\n"),
        "{text}"
    );
}

#[test]
fn what_requests_did_of_late_and_which_are_open_fits_100_columns() {
    let mut value = service();
    let recent = |requests: u64, whole: Value| {
        json!({
            "seconds": 47.3, "requests": requests, "requests_per_second": 26.14, "errors": 3,
            "clients_left": 1, "first_byte": {"p50": 0.0123, "p95": 0.21}, "whole": whole,
        })
    };
    let stable = &mut value["deployments"][0];
    stable["recent"] = recent(1236, json!({"p50": 1.23, "p95": 41.2}));
    stable["workers"][0]["recent"] = recent(1200, Value::Null);
    stable["workers"][1]["recent"] = recent(0, Value::Null);
    let request = |age: f64, stage: &str, worker: Value, path: &str| {
        json!({
            "id": "4bf92f3577b34da6a3ce929d0e0e4736", "method": "POST", "path": path, "client": "127.0.0.1",
            "deployment": "stable", "worker": worker, "age": age, "stage": stage, "in_stage": 1.0,
        })
    };
    value["requests"] = json!({"open": 57, "oldest": [
        request(301.0, "stream", json!(0), "/v1/chat/completions"),
        request(7.25, "first_byte", json!(1), "/v1/a\u{1b}b"),
        request(0.5, "queue", Value::Null, "/"),
    ]});
    value["journal"] = json!([]);
    let detail_of = serde_json::from_value(value).unwrap();
    let text = plain(&detail(&status(None, Some(7)), &detail_of));
    let expected = "
LAST 47 s (a deployment's times begin with the request, a worker's when it got the request)
  NAME    REQ/S  ERRORS  LEFT  BYTE p50     p95  WHOLE p50   p95
  stable   26.1       3     1   12.3 ms  210 ms      1.2 s  41 s
    #0     26.1       3     1   12.3 ms  210 ms          -     -

OPEN REQUESTS: 57
     AGE  WAITS FOR   WORKER     CLIENT     REQUEST                 ID
   5 min  stream      stable #0  127.0.0.1  POST /v1/chat/complet…  4bf92f3577b34da6a3ce929d0e0e4736
   7.2 s  first byte  stable #1  127.0.0.1  POST /v1/a\u{fffd}b            4bf92f3577b34da6a3ce929d0e0e4736
  500 ms  queue       stable     127.0.0.1  POST /                  4bf92f3577b34da6a3ce929d0e0e4736
  … and 54 younger ones
";
    assert!(text.ends_with(expected), "{text}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn tokens_of_models_have_a_line_where_there_are_any() {
    let mut service = service();
    service["tokens"] = json!({
        "input": 1200, "output": 345, "input_per_second": 0.0, "output_per_second": 49.96,
    });
    let status: Status = serde_json::from_value(json!({
        "generation": 7, "gateway_generation": 7,
        "config": {"hash": "0", "loaded_at_ms": 1_000, "last_error": null},
        "services": [service],
    }))
    .unwrap();
    let text = plain(&overview(&status));
    let line = "tokens: 50.0 out and 0.0 in per second; 345 out and 1200 in so far";
    assert!(text.contains(line), "{text}");
}
