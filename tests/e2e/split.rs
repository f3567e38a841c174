//! How requests are split between the deployments of a service.

use std::collections::BTreeMap;

use http::Method;

use crate::support::{
    client::{Client, Events, Reply, empty},
    fake::{Behaviour, FakeWorker},
    launches::Launches,
    penstock::Penstock,
};

/// A worker that answers with its name.
async fn named(name: &'static str) -> FakeWorker {
    let worker = FakeWorker::start().await;
    for path in ["/", "/v2/x"] {
        worker.on(path, Behaviour::Answer(200, name));
    }
    worker
}

/// A service with settings of its own, and stable and canary with theirs before one worker each.
async fn two(service: &str, stable: &str, canary: &str) -> (Penstock, FakeWorker, FakeWorker) {
    let (old, new) = (named("stable").await, named("canary").await);
    let penstock = Penstock::start(&config(service, (stable, &old), (canary, &new))).await;
    penstock.until_known("chat", 2).await;
    (penstock, old, new)
}

fn config(service: &str, stable: (&str, &FakeWorker), canary: (&str, &FakeWorker)) -> String {
    format!(
        r#"
        [services.chat]
        {service}
        [services.chat.deployments.stable]
        {}
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        {}
        static = {{ addresses = ["{}"] }}
        "#,
        stable.0, stable.1.address, canary.0, canary.1.address
    )
}

async fn ask(client: &Client, path: &str, headers: &[(&str, &str)]) -> Reply {
    let exchange = client.send_with(Method::GET, path, headers, empty()).await;
    exchange.whole().await
}

/// How many of so many plain requests each deployment answered.
async fn shares(client: &Client, requests: usize) -> BTreeMap<String, usize> {
    let mut had = BTreeMap::new();
    for _ in 0..requests {
        *had.entry(client.get("/").await.text().to_owned())
            .or_default() += 1;
    }
    had
}

#[tokio::test]
async fn a_split_by_workers_follows_their_number() {
    let [a, b, c] = [
        named("stable").await,
        named("stable").await,
        named("stable").await,
    ];
    let canary = named("canary").await;
    let addresses = |workers: &[&FakeWorker]| {
        let quoted = workers
            .iter()
            .map(|worker| format!("\"{}\"", worker.address));
        quoted.collect::<Vec<_>>().join(", ")
    };
    let config = |stable: &[&FakeWorker]| {
        format!(
            r#"
            [services.chat]
            split = "workers"
            [services.chat.deployments.stable]
            static = {{ addresses = [{}] }}
            [services.chat.deployments.canary]
            static = {{ addresses = [{}] }}
            "#,
            addresses(stable),
            addresses(&[&canary])
        )
    };
    let penstock = Penstock::start(&config(&[&a, &b, &c])).await;
    penstock.until_known("chat", 4).await;
    let client = penstock.client("chat");
    assert_eq!(shares(&client, 40).await["canary"], 10);
    penstock.reload(&config(&[&a])).await;
    let weight = [("service", "chat"), ("deployment", "stable")];
    penstock
        .until("one worker of three is left", |metrics| {
            metrics.sum("penstock_deployment_weight", &weight) == 1.0
        })
        .await;
    assert_eq!(shares(&client, 40).await["canary"], 20);
}

#[tokio::test]
async fn round_robin_least_connections_and_random_share_alike() {
    for split in ["round-robin", "least-connections", "random"] {
        let service = format!("split = \"{split}\"");
        let (penstock, _stable, _canary) = two(&service, "", "").await;
        let had = shares(&penstock.client("chat"), 100).await;
        let bound = if split == "round-robin" { 0 } else { 30 };
        assert!(had["canary"].abs_diff(50) <= bound, "{split}: {had:?}");
    }
}

#[tokio::test]
async fn a_deployment_that_fails_at_once_gets_few_requests_by_least_connections() {
    let service = "split = \"least-connections\"\nejection = { failures = 0 }";
    let (penstock, stable, canary) = two(service, "", "").await;
    canary.on("/", Behaviour::Answer(500, "failed"));
    shares(&penstock.client("chat"), 100).await;
    let (stable, canary) = (stable.seen().started, canary.seen().started);
    assert_eq!(stable + canary, 100);
    assert!(canary <= 10, "{canary} of 100");
}

#[tokio::test]
async fn a_split_by_hash_keeps_equal_values_together() {
    let service = "split = \"hash\"\nhash = { query = \"user\" }";
    let (penstock, _stable, _canary) = two(service, "", "").await;
    let client = penstock.client("chat");
    let mut seen = BTreeMap::<String, usize>::new();
    for user in 0..40 {
        let first = client.get(&format!("/?user={user}")).await;
        let again = client.h2().get(&format!("/?x=1&user={user}&y=2")).await;
        assert_eq!((first.status, first.text()), (again.status, again.text()));
        *seen.entry(first.text().to_owned()).or_default() += 1;
    }
    assert!(seen["stable"] >= 8 && seen["canary"] >= 8, "{seen:?}");
}

/// The cookie of an answer, if it sets one.
fn cookie(reply: &Reply) -> Option<&str> {
    let line = reply.header("set-cookie");
    line.split(';').next().filter(|pair| !pair.is_empty())
}

#[tokio::test]
async fn a_sticky_client_is_given_a_cookie_once_whatever_the_answer() {
    let service = "sticky = { cookie = \"variant\" }";
    let (penstock, stable, canary) = two(service, "", "").await;
    for worker in [&stable, &canary] {
        worker.on("/reset", Behaviour::Reset);
    }
    let clients = [penstock.client("chat"), penstock.client("chat").h2()];
    for client in clients {
        let refused = client.post("/reset", "x").await;
        assert_eq!(refused.status, 502);
        assert!(cookie(&refused).is_some(), "{:?}", refused.headers);
        for _ in 0..10 {
            let first = client.get("/").await;
            assert!(
                first
                    .header("set-cookie")
                    .ends_with("; Path=/; HttpOnly; SameSite=Lax")
            );
            let own = [("cookie", "a=b"), ("cookie", cookie(&first).unwrap())];
            for _ in 0..5 {
                let next = ask(&client, "/", &own).await;
                assert_eq!(next.text(), first.text());
                assert_eq!(cookie(&next), None);
            }
        }
    }
    let direct = Client::new(penstock.address, "canary--chat.local.localhost");
    assert_eq!(cookie(&direct.get("/").await), None);
}

#[tokio::test]
async fn no_client_leaves_the_canary_while_its_share_is_raised() {
    let service = "sticky = { header = \"x-user\" }";
    let (stable, canary) = (named("stable").await, named("canary").await);
    let at = |percent: u32| {
        let weights = [
            format!("weight = {}", 100 - percent),
            format!("weight = {percent}"),
        ];
        config(service, (&weights[0], &stable), (&weights[1], &canary))
    };
    let penstock = Penstock::start(&at(5)).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let mut on_canary = [false; 200];
    for percent in [5, 10, 20] {
        if percent != 5 {
            penstock.reload(&at(percent)).await;
        }
        until_weight(&penstock, "canary", percent).await;
        for (user, was) in on_canary.iter_mut().enumerate() {
            let answer = ask(&client, "/", &[("x-user", &user.to_string())]).await;
            let is = answer.text() == "canary";
            assert!(is || !*was, "user {user} left the canary at {percent} %");
            *was = is;
        }
    }
    let share = on_canary.iter().filter(|is| **is).count();
    assert!((20..=60).contains(&share), "{share} of 200");
}

/// Waits until the gateway obeys a weight.
async fn until_weight(penstock: &Penstock, deployment: &str, weight: u32) {
    let labels = [("service", "chat"), ("deployment", deployment)];
    penstock
        .until(&format!("{deployment} has weight {weight}"), |metrics| {
            metrics.sum("penstock_deployment_weight", &labels) == f64::from(weight)
        })
        .await;
}

#[tokio::test]
async fn rules_come_before_the_split_and_a_deployments_own_host_before_both() {
    let service = r#"
        match = [
            { to = "canary", headers = { x-canary = "yes" } },
            { to = "canary", cookies = { tester = "*" }, methods = ["GET"] },
            { to = "canary", path = "/v2" },
        ]"#;
    let (penstock, _stable, _canary) = two(service, "", "takes_traffic = false").await;
    let client = penstock.client("chat");
    for (path, headers, expected) in [
        ("/", &[][..], "stable"),
        ("/", &[("x-canary", "no")], "stable"),
        ("/", &[("x-canary", "yes")], "canary"),
        ("/", &[("cookie", "a=1; tester=2")], "canary"),
        ("/v2/x", &[], "canary"),
    ] {
        for client in [&client, &client.h2()] {
            let answer = ask(client, path, headers).await;
            assert_eq!(answer.text(), expected, "{path} {headers:?}");
        }
    }
    let direct = Client::new(penstock.address, "stable--chat.local.localhost");
    assert_eq!(
        ask(&direct, "/", &[("x-canary", "yes")]).await.text(),
        "stable"
    );
    let direct = Client::new(penstock.address, "canary--chat.local.localhost");
    assert_eq!(direct.get("/").await.text(), "canary");
}

#[tokio::test]
async fn the_share_of_a_cold_deployment_goes_to_its_sibling_and_wakes_it() {
    let stable = named("stable").await;
    let dir = tempfile::tempdir().unwrap();
    let mut launches = Launches::listen(dir.path(), "launches");
    let config = format!(
        r#"
        [services.chat.deployments.stable]
        weight = 50
        static = {{ addresses = ["{}"] }}
        [services.chat.deployments.canary]
        weight = 50
        when_cold = "spill"
        process = {{ {} }}
        scaling = {{ min = 0, max = 1 }}
        "#,
        stable.address,
        Launches::command("launches")
    );
    let penstock = Penstock::start_in(dir, &config).await;
    penstock.until_known("chat", 1).await;
    let client = penstock.client("chat");
    assert_eq!(shares(&client, 10).await, [("stable".into(), 10)].into());
    let launch = launches.next().await;
    assert_eq!(shares(&client, 10).await, [("stable".into(), 10)].into());
    let canary = launch.listen().await;
    canary.on("/", Behaviour::Answer(200, "canary"));
    penstock.until_known("chat", 2).await;
    assert_eq!(shares(&client, 20).await["canary"], 10);
}

#[tokio::test]
async fn a_flip_moves_all_new_requests_and_no_request_that_has_begun() {
    let (blue, green) = (named("blue").await, named("green").await);
    blue.on("/events", Behaviour::Events);
    let weights = |blue_weight, green_weight| {
        format!(
            r#"
            [services.chat.deployments.blue]
            weight = {blue_weight}
            static = {{ addresses = ["{}"] }}
            [services.chat.deployments.green]
            weight = {green_weight}
            static = {{ addresses = ["{}"] }}
            "#,
            blue.address, green.address
        )
    };
    let penstock = Penstock::start(&weights(1, 0)).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
    assert_eq!(shares(&client, 10).await["blue"], 10);

    penstock.reload(&weights(0, 1)).await;
    until_weight(&penstock, "blue", 0).await;
    assert_eq!(shares(&client, 10).await["green"], 10);
    for number in 0..5 {
        blue.send_event(&number.to_string());
        assert_eq!(events.next().await.unwrap(), number.to_string());
    }

    penstock.reload(&weights(1, 0)).await;
    until_weight(&penstock, "blue", 1).await;
    assert_eq!(shares(&client, 10).await["blue"], 10);
    assert_eq!(blue.send_event("still here"), 1);
    assert_eq!(events.next().await.unwrap(), "still here");
}
