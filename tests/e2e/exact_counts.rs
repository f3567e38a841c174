//! Every count stays exact, and no request is lost, whatever clients, workers and operators do.
//!
//! Clients of both versions of HTTP ask, upload, break off in every phase and use wrong keys; workers
//! fail and reset; and all the while one configuration after another comes into force, each with other
//! settings of everything. At the end what the clients saw, what the workers saw, `/metrics` and the
//! status must agree to the last request.
//!
//! It lasts as long as [`DURATION`], or for as many requests as `PENSTOCK_EXACT_REQUESTS` says.

mod callers;
mod plan;
mod settings;
mod tally;
mod workers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use http::Method;
use tokio::sync::Barrier;

use crate::support::{
    client::{empty, full},
    metrics::Metrics,
    penstock::Penstock,
};
use callers::Caller;
use plan::Plan;
use settings::CONCURRENT_MAX;
use tally::Tally;
use workers::Workers;

/// How long it lasts if nothing else is said.
const DURATION: Duration = Duration::from_secs(40);

/// Clients at once, every other one over HTTP/2.
const CALLERS: usize = 12;

/// One reload in so many is of a bad file.
const BAD_EVERY: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_reloads_loses_no_request_and_no_count() {
    let workers = Workers::start().await;
    let penstock = Penstock::start(&settings::plain(&workers)).await;
    penstock.until_known("chat", 4).await;
    let plan = Arc::new(plan());
    let callers = (0..CALLERS).map(|number| {
        let client = penstock.client("chat");
        let client = if number % 2 == 0 { client } else { client.h2() };
        tokio::spawn(Caller::new(number, client, &workers).call(Arc::clone(&plan)))
    });
    let callers = try_join_all(callers);
    let done = async {
        let tallies = callers.await.expect("no client saw anything unexpected");
        plan.over();
        tallies.into_iter().sum()
    };
    let (tally, reloads): (Tally, usize) = tokio::join!(done, storm(&penstock, &workers, &plan));
    penstock.reload(&settings::plain(&workers)).await;
    let metrics = until_settled(&penstock, &tally).await;
    eprintln!("{reloads} reloads; {tally:?}; {}", workers.describe());
    compare(&metrics, &tally);
    workers.compare(&metrics, &tally).await;
    status_is_quiet(&penstock).await;
    every_place_is_free(&penstock, &workers).await;
}

fn plan() -> Plan {
    match std::env::var("PENSTOCK_EXACT_REQUESTS") {
        Ok(text) => Plan::requests(text.parse().expect("a number of requests")),
        Err(_) => Plan::until(Instant::now() + DURATION),
    }
}

/// Reloads until the clients are done; how often.
async fn storm(penstock: &Penstock, workers: &Workers, plan: &Plan) -> usize {
    let mut weighed = 0;
    for number in 0.. {
        if plan.is_over() {
            assert!(weighed > 0, "no change of weights in {number} reloads");
            return number;
        }
        if number % BAD_EVERY == BAD_EVERY - 1 {
            let refused = [("result", "refused")];
            let count = |metrics: &Metrics| metrics.sum("penstock_config_reloads_total", &refused);
            let before = count(&penstock.metrics().await);
            penstock.write_config("[services.chat]\nbalance = \"best\"");
            penstock
                .until("the bad file is refused", |metrics| count(metrics) > before)
                .await;
        }
        penstock.reload(&settings::variant(number, workers)).await;
        weighed += usize::from(weigh(penstock, number).await);
    }
    unreachable!("there is always a next number")
}

/// What an operator may do to the weights between two reloads; whether it was done. It may not fit the
/// split or what came before: then it is refused.
async fn weigh(penstock: &Penstock, number: usize) -> bool {
    let (method, page, body) = match number % 7 {
        0 => (
            Method::PUT,
            "weights",
            r#"{"weights": {"stable": 3, "canary": 1}}"#,
        ),
        2 => (Method::POST, "promote", r#"{"deployment": "canary"}"#),
        3 | 5 => (Method::POST, "rollback", "{}"),
        4 => (Method::DELETE, "weights", "{}"),
        _ => return false,
    };
    let path = format!("/api/v1/services/chat/{page}");
    let headers = [("content-type", "application/json")];
    let admin = penstock.admin();
    let answer = admin.send_with(method, &path, &headers, full(body)).await;
    let status = answer.whole().await.status;
    let refused = status.is_client_error() && ![404, 405, 415].contains(&status.as_u16());
    assert!(status.is_success() || refused, "{path}: {status}");
    status.is_success()
}

/// Waits until the gateway has booked every request and has nothing left; the page then.
async fn until_settled(penstock: &Penstock, tally: &Tally) -> Metrics {
    penstock
        .until("every request is booked", |metrics| {
            metrics.sum("penstock_requests_total", &[]) >= tally.requests() as f64
        })
        .await;
    penstock
        .until("nothing is left", |metrics| {
            [
                "penstock_in_flight",
                "penstock_queued",
                "penstock_connections",
            ]
            .iter()
            .all(|gauge| metrics.sum(gauge, &[]) == 0.0)
        })
        .await;
    penstock.metrics().await
}

/// The gateway counted what the clients saw.
fn compare(metrics: &Metrics, tally: &Tally) {
    for (code, seen) in tally.codes() {
        let labels = [("code", &*code.to_string())];
        let counted = metrics.sum("penstock_requests_total", &labels);
        assert_eq!(counted, seen as f64, "requests with status {code}");
    }
    let counted = metrics.sum("penstock_requests_total", &[]);
    assert_eq!(counted, tally.requests() as f64, "requests in all");
    let timed = metrics.sum("penstock_request_duration_seconds_count", &[]);
    assert_eq!(timed, tally.requests() as f64, "requests that were timed");
    for (reason, seen) in tally.reasons() {
        let labels = [("reason", reason)];
        let counted = metrics.sum("penstock_gateway_answers_total", &labels);
        assert_eq!(counted, seen as f64, "answers with reason {reason}");
    }
    let counted = metrics.sum("penstock_gateway_answers_total", &[]);
    let seen: u64 = tally.reasons().map(|(_, seen)| seen).sum();
    assert_eq!(counted, seen as f64, "answers by the gateway itself");
}

/// Control has heard that nothing is left, and no load is remembered anywhere.
async fn status_is_quiet(penstock: &Penstock) {
    crate::support::eventually("control knows that all is quiet", async || {
        let status = penstock.admin().get("/api/v1/status").await.json();
        let mut numbers = Vec::new();
        collect(&status, &["in_flight", "queued", "current"], &mut numbers);
        assert!(!numbers.is_empty(), "{status}");
        numbers.iter().all(|number| *number == 0).then_some(())
    })
    .await;
}

/// All numbers under these keys, wherever they are.
fn collect(value: &serde_json::Value, keys: &[&str], numbers: &mut Vec<u64>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                match value.as_u64() {
                    Some(number) if keys.contains(&key.as_str()) => numbers.push(number),
                    _ => collect(value, keys, numbers),
                }
            }
        }
        serde_json::Value::Array(array) => {
            array.iter().for_each(|value| collect(value, keys, numbers));
        }
        _ => {}
    }
}

/// The limit of requests at once, which the storm used all the time, lets as many in as on the first
/// day; so does every worker.
async fn every_place_is_free(penstock: &Penstock, workers: &Workers) {
    penstock.reload(&settings::limited(workers)).await;
    let client = penstock.client("chat");
    let everybody_is_in = Barrier::new(CONCURRENT_MAX);
    let held = (0..CONCURRENT_MAX).map(async |number| {
        let mut ids = workers.ids();
        let id = ids.next();
        let headers = [("x-id", id.as_str()), ("x-api-key", settings::KEY)];
        let asked = client.send_with(Method::GET, "/wait", &headers, empty());
        let arrived = async {
            ids.arrived().await;
            everybody_is_in.wait().await;
        };
        tokio::select! {
            answer = asked => panic!("request {number} got {}", answer.status()),
            () = arrived => {}
        }
    });
    join_all(held).await;
}
