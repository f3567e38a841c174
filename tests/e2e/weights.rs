//! Weights that an operator changes while requests come.

use std::collections::BTreeMap;

use http::Method;
use nix::sys::signal::Signal;

use crate::support::{
    client::{Client, Events, empty, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
};

/// A worker that answers with its name.
async fn named(name: &'static str) -> FakeWorker {
    let worker = FakeWorker::start().await;
    worker.on("/", Behaviour::Answer(200, name));
    worker.on("/events", Behaviour::Events);
    worker
}

fn config(blue: &FakeWorker, green: &FakeWorker, weights: [u32; 2]) -> String {
    format!(
        r#"
        [services.chat.deployments.blue]
        weight = {}
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.green]
        weight = {}
        static = {{ addresses = ["{}"] }}
        "#,
        weights[0], blue.address, weights[1], green.address
    )
}

async fn blue_and_green() -> (Penstock, FakeWorker, FakeWorker) {
    let (blue, green) = (named("blue").await, named("green").await);
    let penstock = Penstock::start(&config(&blue, &green, [100, 0])).await;
    penstock.until_known("chat", 2).await;
    (penstock, blue, green)
}

/// How many of so many requests each deployment answered.
async fn shares(client: &Client, requests: usize) -> BTreeMap<String, usize> {
    let mut had = BTreeMap::new();
    for _ in 0..requests {
        let name = client.get("/").await.text().to_owned();
        *had.entry(name).or_default() += 1;
    }
    had
}

fn of(each: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let owned = |(name, count): &(&str, usize)| ((*name).to_owned(), *count);
    each.iter().map(owned).collect()
}

#[tokio::test]
async fn a_promotion_moves_every_new_request_and_no_old_one() {
    let (penstock, blue, green) = blue_and_green().await;
    let client = penstock.client("chat");
    let stream = client.send(Method::GET, "/events", empty()).await;
    let mut events = Events::new(stream);
    assert_eq!(shares(&client, 10).await, of(&[("blue", 10)]));
    let said = penstock
        .command(&["promote", "chat", "green", "--reason", "v2"])
        .await;
    assert!(
        said.contains("weights set by hand since") && said.contains(": v2;"),
        "{said}"
    );
    penstock.until_weights(&[("blue", 0), ("green", 100)]).await;
    assert_eq!(shares(&client, 50).await, of(&[("green", 50)]));
    // The stream goes on where it began.
    assert_eq!(
        (blue.send_event("still here"), green.send_event("no")),
        (1, 0)
    );
    assert_eq!(events.next().await.as_deref(), Some("still here"));
    penstock.command(&["rollback", "chat"]).await;
    penstock.until_weights(&[("blue", 100), ("green", 0)]).await;
    assert_eq!(shares(&client, 50).await, of(&[("blue", 50)]));
    let error = penstock.failing(&["rollback", "chat"]).await;
    assert!(
        error.contains("no change of chat's weights to take back"),
        "{error}"
    );
}

#[tokio::test]
async fn weights_set_by_hand_outlive_a_kill_and_a_change_of_the_file_until_they_are_given_back() {
    let (mut penstock, blue, green) = blue_and_green().await;
    penstock
        .command(&["weights", "chat", "blue=90", "green=10"])
        .await;
    penstock.signal(Signal::SIGKILL);
    penstock.exit().await;
    penstock.start_again().await;
    penstock.until_known("chat", 2).await;
    penstock.until_weights(&[("blue", 90), ("green", 10)]).await;
    let client = penstock.client("chat");
    assert_eq!(
        shares(&client, 100).await,
        of(&[("blue", 90), ("green", 10)])
    );
    penstock.reload(&config(&blue, &green, [0, 1])).await;
    let status = penstock.command(&["status"]).await;
    for words in [
        "weights set by hand since",
        "whose weights have changed since",
        "weight 90 (file: 0)",
    ] {
        assert!(status.contains(words), "{words} is missing:\n{status}");
    }
    penstock.until_weights(&[("blue", 90), ("green", 10)]).await;
    let table = penstock.command(&["weights", "chat", "--reset"]).await;
    assert!(
        table.contains("100 %") && !table.contains("by hand"),
        "{table}"
    );
    penstock.until_weights(&[("blue", 0), ("green", 1)]).await;
    let status = penstock.command(&["status", "chat"]).await;
    assert!(
        status.contains("weights given back to the file: blue 0, green 1"),
        "{status}"
    );
    assert!(
        status.contains("the file's weights have changed"),
        "{status}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_reason_and_changes_nothing() {
    let (penstock, _blue, _green) = blue_and_green().await;
    for (args, reason) in [
        (
            &["weights", "chat", "red=1"][..],
            "chat has no deployment red; there are: blue, green",
        ),
        (
            &["weights", "chat", "blue=0"],
            "at least one weight must be above 0",
        ),
        (&["weights", "chat", "blue=many"], "must be a weight"),
        (
            &["weights", "chat", "blue=1", "blue=2"],
            "blue is named twice",
        ),
        (&["weights", "nobody"], "there is no service nobody"),
        (&["promote", "chat", "red"], "chat has no deployment red"),
        (&["rollout", "chat"], "no deployment of chat has a rollout"),
        (
            &["rollout", "chat", "--restart"],
            "no deployment of chat has a rollout",
        ),
    ] {
        let error = penstock.failing(args).await;
        assert!(error.contains(reason), "penstock {args:?}: {error}");
    }
    let admin = penstock.admin();
    for (service, status, reason) in [
        ("chat", 422, "no deployment is named"),
        ("%63hat", 422, "no deployment is named"),
        ("nobody", 404, "there is no service nobody"),
        ("%ff", 400, "Invalid UTF-8"),
    ] {
        let path = format!("/api/v1/services/{service}/weights");
        let exchange = admin.send(Method::PUT, &path, full(r#"{"weights":{}}"#));
        let reply = exchange.await.whole().await;
        assert_eq!(reply.status, status, "{path}");
        let detail = reply.json()["detail"].clone();
        assert!(
            detail
                .as_str()
                .is_some_and(|detail| detail.contains(reason)),
            "{path}: {detail}"
        );
    }
    let table = penstock.command(&["weights", "chat"]).await;
    assert!(!table.contains("by hand"), "{table}");
    penstock.until_weights(&[("blue", 100), ("green", 0)]).await;
}

#[tokio::test]
async fn a_share_is_what_the_deployment_gets_and_a_number_that_could_mean_two_things_is_refused() {
    let (blue, green) = (named("blue").await, named("green").await);
    let penstock = Penstock::start(&config(&blue, &green, [1, 1])).await;
    penstock.until_known("chat", 2).await;
    let error = penstock.failing(&["weights", "chat", "green=10"]).await;
    assert!(
        error.contains("green=10%") && error.contains("90.91 %"),
        "{error}"
    );
    let dry = penstock
        .command(&["weights", "chat", "green=10%", "--dry-run"])
        .await;
    assert!(dry.contains("dry run, nothing has changed"), "{dry}");
    penstock.until_weights(&[("blue", 1), ("green", 1)]).await;
    let said = penstock.command(&["weights", "chat", "green=10%"]).await;
    for words in ["BEFORE", "10 %    50 %", "90 %    50 %"] {
        assert!(said.contains(words), "{words} is missing:\n{said}");
    }
    penstock.until_weights(&[("blue", 90), ("green", 10)]).await;
    let client = penstock.client("chat");
    assert_eq!(
        shares(&client, 100).await,
        of(&[("blue", 90), ("green", 10)])
    );
    let admin = penstock.admin();
    let path = "/api/v1/services/chat/weights";
    let put = async |body: &'static str| {
        let exchange = admin.send(Method::PUT, path, full(body)).await;
        exchange.whole().await
    };
    let reply = put(r#"{"weights": {"green": "25%"}}"#).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["change"]["before"]["green"], 10);
    penstock.until_weights(&[("blue", 75), ("green", 25)]).await;
    for body in [
        r#"{"weights": {"green": 10}}"#,
        r#"{"weights": {"green": "60%", "blue": "50%"}}"#,
    ] {
        assert_eq!(put(body).await.status, 422, "{body}");
    }
    for body in [
        r#"{"weights": {"green": "many"}}"#,
        r#"{"weights": {"green": 1.5}}"#,
    ] {
        assert_eq!(put(body).await.status, 400, "{body}");
    }
}
