//! The last worker goes, and no request with it.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use crate::support::{
    client::{Events, empty},
    fake::Behaviour,
    launches::Launches,
    penstock::{Penstock, simulated},
};

/// The settings of a service that goes back to zero as soon as it may.
const SOON_ZERO: &str = r#"min = 0, max = 1, idle_timeout = "200ms", down = { stable_for = "100ms", period = "100ms" }"#;
const IDLE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_request_at_the_instant_of_scale_to_zero_is_never_lost() {
    let command = simulated("--load-time 0s --time-to-first-token 0s");
    // Several services at once give so many more meetings of a request with the last decision.
    let names: Vec<String> = (0..6).map(|number| format!("chat{number}")).collect();
    let deployments = names.iter().map(|name| {
        format!(
            r#"
            [services.{name}.deployments.main]
            process = {{ {command} }}
            probes.ready = {{ http = "/health" }}
            scaling = {{ {SOON_ZERO} }}
            "#
        )
    });
    let penstock = Penstock::start(&deployments.collect::<String>()).await;
    let started = async || {
        let metrics = penstock.metrics().await;
        metrics.sum("penstock_worker_starts_total", &[("result", "ready")])
    };
    join_all(names.iter().enumerate().map(|(index, name)| {
        let (client, penstock) = (penstock.client(name), &penstock);
        async move {
            for round in 0..10 {
                assert_eq!(client.get("/v1/models").await.status, 200);
                // Now and then exactly when control wants none any more, else around it.
                if (index + round) % 2 == 0 {
                    penstock.until_desired(name, 0).await;
                }
                tokio::time::sleep(Duration::from_millis(
                    (round * 37 + index * 11) as u64 % 100,
                ))
                .await;
            }
        }
    }))
    .await;
    assert!(started().await > 12.0, "it never scaled to zero in between");
}

#[tokio::test]
async fn an_idle_service_is_left_without_a_process() {
    let (penstock, mut launches) = with_launches().await;
    let client = penstock.client("chat");
    let (answer, worker) = tokio::join!(client.get("/"), async {
        launches.next().await.listen().await
    });
    assert_eq!(answer.status, 200);
    penstock.until_no_worker("chat").await;
    penstock.until_alone().await;
    drop(worker);

    // And it wakes again.
    let (answer, _worker) = tokio::join!(client.get("/"), async {
        launches.next().await.listen().await
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_open_stream_keeps_its_worker() {
    let (penstock, mut launches) = with_launches().await;
    let client = penstock.client("chat");
    let worker = async {
        let worker = launches.next().await.listen().await;
        worker.on("/events", Behaviour::Events);
        worker
    };
    let (exchange, worker) = tokio::join!(client.send(Method::GET, "/events", empty()), worker);
    let mut events = Events::new(exchange);
    for number in 0..5 {
        // Several times as long as an idle worker would live.
        tokio::time::sleep(IDLE).await;
        assert_eq!(worker.send_event(&number.to_string()), 1);
        assert_eq!(events.next().await.unwrap(), number.to_string());
    }
    penstock.until_ready("chat", 1).await;
    drop(events);
    penstock.until_no_worker("chat").await;
}

/// A service `chat` at zero that goes back there soon; the test plays its workers.
async fn with_launches() -> (Penstock, Launches) {
    Launches::behind("", &format!("scaling = {{ {SOON_ZERO} }}")).await
}
