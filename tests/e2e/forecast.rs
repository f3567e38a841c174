//! A forecast takes days to be one. What it is before, it says.

use crate::support::{
    eventually,
    penstock::{Penstock, simulated},
};

#[tokio::test]
async fn a_forecast_rule_says_in_the_status_why_it_asks_for_nothing_yet() {
    let command = simulated("--load-time 0s --time-to-first-token 0s");
    let penstock = Penstock::start(&format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command} }}
        probes.ready = {{ http = "/health" }}

        [services.chat.deployments.main.scaling]
        min = 1
        max = 2
        rules = [{{ type = "forecast", time_zone = "Europe/Berlin", ahead = "10m" }}]
        "#
    ))
    .await;
    penstock.until_ready("chat", 1).await;
    assert_eq!(penstock.client("chat").get("/v1/models").await.status, 200);
    let expected = "nothing because no pattern is known yet: 0 of 3 days seen";
    eventually("the status says so", async || {
        let status = penstock.command(&["status", "chat"]).await;
        status.contains(expected).then_some(())
    })
    .await;
    assert!(
        penstock
            .command(&["status", "chat"])
            .await
            .contains(" for concurrency ")
    );
}
