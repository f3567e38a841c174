//! Whatever becomes of a copy, its original is answered as if there were none.

use bytes::Bytes;
use http::Method;

use super::{config, dropped, ended, reload, until_dropped, until_ended, until_nothing_is_left};
use crate::support::{
    client::{by_pieces, empty, full},
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    scripted::ScriptedWorker,
    soon,
    unreachable::Unreachable,
};

async fn start(settings: &str, mirror: &str) -> (FakeWorker, FakeWorker, Penstock) {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    let config = config(settings, stable.address, candidate.address, mirror);
    let penstock = Penstock::start(&config).await;
    (stable, candidate, penstock)
}

#[tokio::test]
async fn a_target_that_hangs_holds_nobody_up_and_its_copies_end_by_their_own_clock() {
    for protocol in ["http1", "h2"] {
        let settings = format!("protocol = \"{protocol}\"");
        let (stable, candidate, penstock) = start(&settings, r#", timeout = "500ms""#).await;
        stable.on("/", Behaviour::Echo);
        candidate.on("/", Behaviour::Hold);
        let client = penstock.client("chat");
        for number in 0..20 {
            let body = number.to_string();
            assert_eq!(client.post("/", body.clone()).await.text(), body);
        }
        let metrics = until_dropped(&penstock, "timeout", 20).await;
        assert_eq!(ended(&metrics, "dropped"), 20.0);
        // On a machine that stands still a copy's time may be over before it is on its way.
        let seen = candidate
            .until("all given up", |seen| seen.aborted == seen.started)
            .await;
        assert!(seen.aborted > 0, "{seen:?}");
        until_nothing_is_left(&penstock).await;
    }
}

#[tokio::test]
async fn a_target_that_is_slower_is_compared_when_it_is_done() {
    let (_stable, candidate, penstock) = start("", "").await;
    candidate.on("/", Behaviour::Hold);
    let client = penstock.client("chat");
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    candidate
        .until("ten copies", |seen| seen.current == 10)
        .await;
    let metrics = penstock.metrics().await;
    assert_eq!(metrics.sum("penstock_mirror_sent_total", &[]), 10.0);
    assert_eq!(metrics.sum("penstock_mirror_in_flight", &[]), 10.0);
    assert_eq!(ended(&metrics, "ok"), 0.0);
    candidate.release_all();
    until_ended(&penstock, "ok", 10).await;
    let same = [("status", "same")];
    let metrics = penstock
        .until("ten comparisons", |metrics| {
            metrics.sum("penstock_mirror_comparison_status_total", &same) == 10.0
        })
        .await;
    let first_bytes = "penstock_mirror_comparison_first_byte_seconds_count";
    for (of, bytes) in [("original", 20.0), ("copy", 80.0)] {
        let of = [("of", of)];
        assert_eq!(metrics.sum(first_bytes, &of), 10.0);
        assert_eq!(
            metrics.sum("penstock_mirror_comparison_bytes_total", &of),
            bytes
        );
    }
    until_nothing_is_left(&penstock).await;
}

#[tokio::test]
async fn a_copy_that_falls_behind_is_dropped_and_keeps_no_more_than_its_buffer() {
    const BUFFER: f64 = 65536.0;
    for protocol in ["http1", "h2"] {
        let settings = format!("protocol = \"{protocol}\"");
        let (stable, candidate, penstock) = start(&settings, r#", buffer = "64KiB""#).await;
        stable.on("/", Behaviour::Echo);
        candidate.on("/", Behaviour::Hold);
        let (mut pieces, body) = by_pieces();
        let exchange = penstock.client("chat").send(Method::POST, "/", body).await;
        // More than the sockets on the way hold.
        let upload = async {
            let piece = Bytes::from(vec![7; 10_000]);
            for number in 0..3000 {
                pieces.send_data(piece.clone()).await.unwrap();
                if number % 500 == 0 {
                    let metrics = penstock.metrics().await;
                    let kept = metrics.sum("penstock_mirror_buffered_bytes", &[]);
                    assert!(kept <= BUFFER, "{kept} bytes are kept");
                }
            }
            drop(pieces);
        };
        let ((), echoed) = tokio::join!(upload, exchange.whole());
        assert_eq!(echoed.body.len(), 30_000_000);
        until_dropped(&penstock, "behind", 1).await;
        until_nothing_is_left(&penstock).await;
    }
}

#[tokio::test]
async fn targets_that_refuse_reset_talk_nonsense_or_cannot_be_reached_cost_only_the_copy() {
    let stable = FakeWorker::start().await;
    // Reads the body first; an answer before its end would end the copy too.
    stable.on("/", Behaviour::Answer(200, "ok"));
    let resets = FakeWorker::start().await;
    resets.on("/", Behaviour::Reset);
    let garbage = ScriptedWorker::start("garbage in place of an answer\r\n\r\n").await;
    let cut = ScriptedWorker::start("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut").await;
    let switches = ScriptedWorker::start("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n").await;
    let unreachable = Unreachable::new().await;
    let gone = FakeWorker::start().await.address;
    for (target, reason) in [
        (gone, "connect_failed"),
        (unreachable.address, "connect_failed"),
        (resets.address, "upstream_reset"),
        (garbage.address, "upstream_reset"),
        (cut.address, "upstream_reset"),
        (switches.address, "upstream_reset"),
    ] {
        let settings = r#"timeouts = { connect = "3s" }"#;
        let config = config(settings, stable.address, target, "");
        let penstock = Penstock::start(&config).await;
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            assert_eq!(client.post("/", "x").await.text(), "ok");
        }
        until_dropped(&penstock, reason, 2).await;
        until_nothing_is_left(&penstock).await;
    }
    assert_eq!(garbage.requests(), 2, "a copy is sent once");
    assert_eq!(resets.seen().started, 2, "a copy is sent once");
}

#[tokio::test]
async fn a_target_that_answers_otherwise_is_told_from_one_that_agrees() {
    let (_stable, candidate, penstock) = start("", "").await;
    candidate
        .on("/500", Behaviour::Answer(500, "no"))
        .on("/404", Behaviour::Answer(404, "not here"));
    let client = penstock.client("chat");
    for path in ["/", "/500", "/404"] {
        assert_eq!(client.get(path).await.text(), "ok");
    }
    until_ended(&penstock, "ok", 2).await;
    until_ended(&penstock, "failed", 1).await;
    penstock
        .until("three comparisons", |metrics| {
            let count = |status| {
                let labels = [("status", status)];
                metrics.sum("penstock_mirror_comparison_status_total", &labels)
            };
            (count("same"), count("different")) == (1.0, 2.0)
        })
        .await;
    let metrics = penstock.metrics().await;
    let requests = [("deployment", "candidate")];
    assert_eq!(
        metrics.sum("penstock_requests_total", &requests),
        0.0,
        "copies are no requests"
    );
}

#[tokio::test]
async fn copies_beyond_their_bounds_are_dropped() {
    let (_stable, candidate, penstock) = start("", ", max_in_flight = 3").await;
    candidate.on("/", Behaviour::Hold);
    let client = penstock.client("chat");
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    let metrics = until_dropped(&penstock, "max_in_flight", 2).await;
    assert_eq!(metrics.sum("penstock_mirror_in_flight", &[]), 3.0);
    candidate.release_all();
    until_ended(&penstock, "ok", 3).await;

    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    candidate.on("/", Behaviour::Hold);
    let target = format!(
        "max_concurrency = 2\nramp = false\nstatic = {{ addresses = [\"{}\"] }}",
        candidate.address
    );
    let config = super::config_with("", stable.address, &target, "");
    let penstock = Penstock::start(&config).await;
    let client = penstock.client("chat");
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    until_dropped(&penstock, "full", 3).await;
    assert_eq!(candidate.seen().peak, 2);
    candidate.release_all();
    until_nothing_is_left(&penstock).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_copy_along() {
    for protocol in ["http1", "h2"] {
        let settings = format!("protocol = \"{protocol}\"");
        let (stable, candidate, penstock) = start(&settings, "").await;
        for worker in [&stable, &candidate] {
            worker
                .on("/echo", Behaviour::Echo)
                .on("/hold", Behaviour::Hold);
        }
        let client = penstock.client("chat");
        // In the middle of the request.
        let (mut pieces, body) = by_pieces();
        let exchange = client.send(Method::POST, "/echo", body).await;
        pieces.send_data("some".into()).await.unwrap();
        candidate.until("the copy", |seen| seen.current == 1).await;
        drop(exchange);
        candidate
            .until("the copy's end", |seen| seen.aborted == 1)
            .await;
        until_dropped(&penstock, "client_gone", 1).await;
        // While it waits for the answer.
        let mut connection = client.connect().await.unwrap();
        {
            let request = client.request(Method::POST, "/hold", full("whole"));
            let mut waiting = std::pin::pin!(connection.send(request));
            let both = async {
                stable.until("the original", |seen| seen.current == 1).await;
                candidate.until("the copy", |seen| seen.current == 1).await;
            };
            tokio::select! {
                answer = &mut waiting => panic!("answered: {answer:?}"),
                () = both => {}
            }
        }
        drop(connection);
        until_dropped(&penstock, "client_gone", 2).await;
        until_nothing_is_left(&penstock).await;
    }
}

#[tokio::test]
async fn a_reload_that_takes_the_mirror_away_lets_copies_finish() {
    let (stable, candidate, penstock) = start("", "").await;
    candidate.on("/", Behaviour::Hold);
    let client = penstock.client("chat");
    assert_eq!(client.get("/").await.text(), "ok");
    candidate.until("the copy", |seen| seen.current == 1).await;
    let with = config("", stable.address, candidate.address, "");
    let without: String = with
        .lines()
        .filter(|line| !line.contains("mirror"))
        .flat_map(|line| [line, "\n"])
        .collect();
    reload(&penstock, &without).await;
    assert_eq!(client.get("/").await.text(), "ok");
    candidate.release_all();
    let metrics = until_ended(&penstock, "ok", 1).await;
    assert_eq!(dropped(&metrics, "timeout"), 0.0);
    assert_eq!(candidate.seen().started, 1);
    reload(&penstock, &with).await;
    assert_eq!(client.get("/").await.text(), "ok");
    until_ended(&penstock, "ok", 2).await;
    until_nothing_is_left(&penstock).await;
}

#[tokio::test]
async fn nobody_waits_for_copies_at_the_end() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    candidate.on("/", Behaviour::Hold);
    // Longer than a test waits.
    let drain = "[gateway]\ndrain_timeout = \"1h\"\n";
    let config = config("", stable.address, candidate.address, "");
    let mut penstock = Penstock::start(&format!("{drain}{config}")).await;
    let answer = penstock
        .client("chat")
        .send(Method::GET, "/", empty())
        .await;
    assert_eq!(answer.whole().await.text(), "ok");
    candidate.until("the copy", |seen| seen.current == 1).await;
    soon("the end", penstock.stop()).await;
    candidate
        .until("the copy's end", |seen| seen.aborted == 1)
        .await;
}
