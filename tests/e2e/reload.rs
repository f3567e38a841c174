//! The configuration changes while requests are under way.

use futures_util::{SinkExt, StreamExt};
use http::Method;
use nix::sys::signal::Signal;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    client::{Client, Events, Reply, empty, full, over_h1},
    fake::{Behaviour, FakeWorker},
    grpc::{GrpcClient, GrpcWorker},
    penstock::{NOBODY, Penstock},
    soon,
};

fn config(http: &FakeWorker, grpc: &GrpcWorker, more: &str) -> String {
    format!(
        r#"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        [services.echo]
        protocol = "h2"
        [services.echo.deployments.main]
        static = {{ addresses = ["{}"] }}
        {more}
        "#,
        http.address, grpc.address
    )
}

#[tokio::test]
async fn a_hundred_reloads_cut_nothing_and_reset_nothing() {
    let (http, grpc) = (FakeWorker::start().await, GrpcWorker::start().await);
    http.on("/events", Behaviour::Events)
        .on("/ws", Behaviour::WebSocket);
    let penstock = Penstock::start(&config(&http, &grpc, "")).await;
    let client = penstock.client("chat");
    let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
    let mut socket = over_h1(&client, "/ws").await;
    let (messages, outgoing) = tokio::sync::mpsc::channel(1);
    let grpc_client = GrpcClient::connect(&penstock.client("echo")).await;
    let mut incoming = grpc_client
        .bidi(ReceiverStream::new(outgoing))
        .await
        .unwrap();
    penstock.until_load("chat", 2, 0).await;
    let before = penstock.metrics().await.about("service", "chat");

    for number in 0..100 {
        // A service that comes, changes and goes.
        let other = format!(
            "[services.other]\nqueue = {{ max_requests = {} }}\n[services.other.deployments.d{}]\n\
             static = {{ addresses = [\"127.0.0.1:{}\"] }}",
            number + 1,
            number % 7,
            number + 1
        );
        let other = if number % 3 == 2 {
            String::new()
        } else {
            other
        };
        penstock.reload(&config(&http, &grpc, &other)).await;
        let text = number.to_string();
        http.send_event(&text);
        assert_eq!(events.next().await.unwrap(), text);
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(
            soon("the echo", socket.next())
                .await
                .unwrap()
                .unwrap()
                .to_text()
                .unwrap(),
            text
        );
        messages.send(text.clone()).await.unwrap();
        assert_eq!(
            soon("the echo", incoming.message()).await.unwrap().unwrap(),
            text
        );
    }
    assert_eq!(penstock.metrics().await.about("service", "chat"), before);
    assert_eq!(http.seen().started, 2);
}

#[tokio::test]
async fn a_removed_service_finishes_what_it_has() {
    let (http, grpc) = (FakeWorker::start().await, GrpcWorker::start().await);
    http.on("/events", Behaviour::Events);
    let penstock = Penstock::start(&config(&http, &grpc, "")).await;
    let client = penstock.client("chat");
    let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
    penstock.reload(NOBODY).await;
    crate::support::eventually("the service is gone", async || {
        (client.get("/").await.reason() == "no_route").then_some(())
    })
    .await;
    for number in 0..10 {
        http.send_event(&number.to_string());
        assert_eq!(events.next().await.unwrap(), number.to_string());
    }
    drop(events);
    http.until("the stream's end", |seen| seen.current == 0)
        .await;
}

/// Two deployments, or only the second one; each worker takes one request at once.
fn two(removed: &FakeWorker, kept: &FakeWorker, both: bool) -> String {
    let first = format!(
        "[services.chat.deployments.a]\nweight = 1000000\nmax_concurrency = 1\nstatic = {{ addresses = [\"{}\"] }}",
        removed.address
    );
    format!(
        "[services.chat.deployments.b]\nmax_concurrency = 1\nstatic = {{ addresses = [\"{}\"] }}\n{}",
        kept.address,
        if both { &*first } else { "" }
    )
}

#[tokio::test]
async fn who_waits_for_a_deployment_that_is_removed_goes_to_another_one() {
    let (removed, kept) = (FakeWorker::start().await, FakeWorker::start().await);
    removed.on("/", Behaviour::Hold);
    let penstock = Penstock::start(&two(&removed, &kept, true)).await;
    penstock.until_known("chat", 2).await;
    let get = |client: Client| tokio::spawn(async move { client.get("/").await });
    let held = get(penstock.client("chat"));
    removed.until("a request", |seen| seen.current == 1).await;
    let waiting: Vec<_> = (0..5).map(|_| get(penstock.client("chat"))).collect();
    let mut direct = penstock.client("chat");
    direct.host = format!("a--{}", direct.host);
    let direct = get(direct);
    penstock.until_load("chat", 1, 6).await;

    penstock.reload(&two(&removed, &kept, false)).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().text(), "ok");
    }
    // This one asked for nothing else. It was accepted, so it is not told that there is no such host.
    let direct = direct.await.unwrap();
    let got = (direct.status.as_u16(), direct.reason());
    assert_eq!(got, (503, "no_workers"));
    let detail = direct.text();
    assert!(
        detail.contains("the host names was removed while the request waited"),
        "{detail}"
    );
    removed.release_all();
    assert_eq!(held.await.unwrap().text(), "released");
    penstock.until_load("chat", 0, 0).await;
}

#[tokio::test]
async fn who_waits_for_a_service_that_is_removed_is_told_so() {
    let (worker, other) = (FakeWorker::start().await, FakeWorker::start().await);
    worker.on("/", Behaviour::Hold);
    let penstock = Penstock::start(&two(&worker, &other, true)).await;
    penstock.until_known("chat", 2).await;
    let get = |client: Client| tokio::spawn(async move { client.get("/").await });
    let held = get(penstock.client("chat"));
    worker.until("a request", |seen| seen.current == 1).await;
    let waiting = get(penstock.client("chat"));
    penstock.until_load("chat", 1, 1).await;
    penstock.reload(NOBODY).await;
    let reply = waiting.await.unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.reason()),
        (503, "no_workers"),
        "{}",
        reply.text()
    );
    worker.release_all();
    assert_eq!(held.await.unwrap().text(), "released");
}

#[tokio::test]
async fn the_metrics_of_a_removed_deployment_stay_until_its_last_requests_are_counted() {
    let (removed, kept) = (FakeWorker::start().await, FakeWorker::start().await);
    removed.on("/", Behaviour::Hold);
    let penstock = Penstock::start(&two(&removed, &kept, true)).await;
    penstock.until_known("chat", 2).await;
    let client = penstock.client("chat");
    let held = tokio::spawn(async move { client.get("/").await });
    removed.until("a request", |seen| seen.current == 1).await;
    penstock.reload(&two(&removed, &kept, false)).await;
    let labels = [("service", "chat"), ("deployment", "a")];
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_in_flight", &labels), 1.0);
    assert_eq!(metrics.sum("penstock_requests_total", &labels), 0.0);
    removed.release_all();
    assert_eq!(held.await.unwrap().text(), "released");
    // The count of what ended late is seen, and no gauge of what is no longer there.
    penstock
        .until("the request is counted", |metrics| {
            metrics.sum("penstock_requests_total", &labels) == 1.0
                && metrics.count("penstock_in_flight", &labels) == 0
                && metrics.count("penstock_queued", &labels) == 0
        })
        .await;
    // One of the same name begins anew, and has one line.
    penstock.reload(&two(&removed, &kept, true)).await;
    penstock
        .until("it is there again", |metrics| {
            metrics.count("penstock_in_flight", &labels) == 1
                && metrics.count("penstock_queued", &labels) == 1
                && metrics.sum("penstock_requests_total", &labels) == 0.0
        })
        .await;
}

/// Has requests of all these methods at a worker, removes its deployment, and then the worker: what the
/// clients get.
async fn cut_after_removal(
    removed: FakeWorker,
    (kept, protocol): (&FakeWorker, &str),
    requests: &[(Method, bool)],
) -> Vec<Reply> {
    removed.on("/", Behaviour::Hold);
    let config = |both: bool| {
        let first = format!(
            "[services.chat.deployments.a]\nweight = 1000000\nstatic = {{ addresses = [\"{}\"] }}",
            removed.address
        );
        format!(
            "[services.chat.deployments.b]\n{protocol}\nstatic = {{ addresses = [\"{}\"] }}\n{}",
            kept.address,
            if both { &*first } else { "" }
        )
    };
    let penstock = Penstock::start(&config(true)).await;
    penstock.until_known("chat", 2).await;
    let mut held = Vec::new();
    for (method, direct) in requests {
        let (mut client, method) = (penstock.client("chat"), method.clone());
        if *direct {
            client.host = format!("a--{}", client.host);
        }
        held.push(tokio::spawn(async move {
            let body = match method {
                Method::GET => empty(),
                _ => full("text"),
            };
            client.send(method, "/", body).await.whole().await
        }));
    }
    removed
        .until("all requests", |seen| seen.current == requests.len())
        .await;
    penstock.reload(&config(false)).await;
    drop(removed);
    let mut replies = Vec::new();
    for held in held {
        replies.push(held.await.unwrap());
    }
    let labels = [
        ("service", "chat"),
        ("deployment", "a"),
        ("reason", "upstream_reset"),
    ];
    let again = replies.iter().filter(|reply| reply.status == 200).count();
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_retries_total", &labels), again as f64);
    replies
}

#[tokio::test]
async fn what_a_removed_deployment_cuts_is_sent_to_another_one_if_it_may_be() {
    let (removed, kept) = (FakeWorker::start().await, FakeWorker::start().await);
    let requests = [
        (Method::GET, false),
        (Method::PUT, false),
        // May have been carried out.
        (Method::POST, false),
        // Asked for nothing else.
        (Method::GET, true),
    ];
    let replies = cut_after_removal(removed, (&kept, ""), &requests).await;
    let got = replies.iter().map(|reply| match reply.status.as_u16() {
        200 => reply.text(),
        502 => reply.reason(),
        _ => panic!("{reply:?}"),
    });
    let got: Vec<_> = got.collect();
    assert_eq!(got, ["ok", "ok", "upstream_reset", "upstream_reset"]);
    assert_eq!(kept.seen().started, 2);
}

#[tokio::test]
async fn the_other_deployment_may_speak_another_protocol() {
    let (removed, kept) = (FakeWorker::start().await, FakeWorker::start().await);
    kept.on("/", Behaviour::Echo);
    let requests = [(Method::GET, false), (Method::PUT, false)];
    let replies = cut_after_removal(removed, (&kept, "protocol = \"h2\""), &requests).await;
    let mut got: Vec<_> = replies.iter().map(Reply::text).collect();
    got.sort_unstable();
    assert_eq!(got, ["", "text"]);
    for head in kept.heads() {
        assert_eq!(head.version, http::Version::HTTP_2);
        assert_eq!(head.header("host"), "");
        assert_eq!(head.header("x-forwarded-host"), "chat.local.localhost");
    }
}

#[tokio::test]
async fn whoever_asks_for_a_reload_is_told_that_nothing_has_changed() {
    let penstock = Penstock::start(NOBODY).await;
    penstock.signal(Signal::SIGHUP);
    crate::support::eventually("a word about it", async || {
        let log = penstock.log();
        log.contains("configuration unchanged").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pattern_of_include_that_matches_no_file_is_told_and_its_folder_watched() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(NOBODY).await;
    std::fs::create_dir(penstock.path().join("more")).unwrap();
    penstock.write_config(&format!("include = [\"more/*.toml\"]\n{NOBODY}"));
    crate::support::eventually("a warning", async || {
        let log = penstock.log();
        log.contains("matches no file").then_some(())
    })
    .await;
    // Nothing but the file itself says so: nothing that is in force has changed.
    let service = format!(
        "[services.chat.deployments.main]\nstatic = {{ addresses = [\"{}\"] }}",
        worker.address
    );
    std::fs::write(penstock.path().join("more/chat.toml"), service).unwrap();
    penstock.until_known("chat", 1).await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    assert_eq!(penstock.log().matches("matches no file").count(), 1);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told() {
    let (http, grpc) = (FakeWorker::start().await, GrpcWorker::start().await);
    let penstock = Penstock::start(&config(&http, &grpc, "")).await;
    let refused = async |times: usize| {
        let count = [("result", "refused")];
        penstock
            .until("the file is refused", |metrics| {
                metrics.sum("penstock_config_reloads_total", &count) >= times as f64
            })
            .await;
        assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    };
    penstock.write_config("[services");
    refused(1).await;
    penstock.write_config("[services.chat]\ncolour = 1\n");
    refused(2).await;
    // SIGHUP reads it again, changed or not.
    penstock.signal(Signal::SIGHUP);
    refused(3).await;
    assert!(penstock.log().contains("colour"), "{}", penstock.log());
    penstock
        .reload(&config(
            &http,
            &grpc,
            "[services.new.deployments.d]\nstatic = { addresses = [\"127.0.0.1:1\"] }",
        ))
        .await;
}
