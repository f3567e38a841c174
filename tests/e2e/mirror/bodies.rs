//! A copy is the same request, whatever its body.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Response, header::CONTENT_LENGTH};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{config, until_ended, until_nothing_is_left};
use crate::support::{
    client::{by_pieces, empty, full},
    fake::{Behaviour, FakeWorker},
    grpc::{GrpcClient, GrpcWorker},
    penstock::Penstock,
    soon,
};

/// Room for everything, so that no copy is dropped however slow the machine is.
const ROOM: &str = r#", buffer = "256MiB""#;

/// A body that came to its end, with its trailers.
type Got = (Bytes, Option<HeaderMap>);

/// Tells of every body that came to its end.
fn recording(sender: mpsc::UnboundedSender<Got>) -> Behaviour {
    Behaviour::custom(move |request| {
        let sender = sender.clone();
        async move {
            if let Ok(body) = request.into_body().collect().await {
                let trailers = body.trailers().cloned();
                let _ = sender.send((body.to_bytes(), trailers));
            }
            Response::new(full("recorded"))
        }
    })
}

async fn start(protocol: &str) -> (FakeWorker, FakeWorker, Penstock) {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    let settings = format!("protocol = \"{protocol}\"");
    let config = config(&settings, stable.address, candidate.address, ROOM);
    let penstock = Penstock::start(&config).await;
    (stable, candidate, penstock)
}

#[tokio::test]
async fn a_copy_has_the_same_head_and_a_mark_that_no_client_can_make() {
    for protocol in ["http1", "h2"] {
        let (stable, candidate, penstock) = start(protocol).await;
        let headers = [
            ("x-penstock-mirror", "1"),
            ("connection", "x-secret"),
            ("x-secret", "for the gateway only"),
            ("x-kept", "one"),
            ("x-kept", "two"),
            ("cookie", "a=1"),
        ];
        let client = penstock.client("chat");
        let answer = client
            .send_with(Method::DELETE, "/a%20b?c=d", &headers, empty())
            .await
            .whole()
            .await;
        assert_eq!(answer.text(), "ok");
        until_ended(&penstock, "ok", 1).await;
        let (original, mut copy) = (stable.heads().remove(0), candidate.heads().remove(0));
        assert_eq!(original.header("x-penstock-mirror"), "", "{protocol}");
        assert_eq!(copy.header("x-penstock-mirror"), "1");
        assert!(!copy.header("x-request-id").is_empty());
        copy.headers.remove("x-penstock-mirror");
        assert_eq!(copy.headers, original.headers, "{protocol}");
        assert_eq!(
            (copy.method, copy.path, copy.version),
            (original.method, original.path, original.version)
        );
    }
}

#[tokio::test]
async fn a_key_that_ends_at_the_gateway_is_not_in_the_copy_either() {
    let (stable, candidate) = (FakeWorker::start().await, FakeWorker::start().await);
    // The hash of "psk_mirror".
    let settings = r#"api_keys.user.sha256 = "HASH""#.replace("HASH", KEY_HASH);
    let config = config(&settings, stable.address, candidate.address, "");
    let penstock = Penstock::start(&config).await;
    let key = [("authorization", "Bearer psk_mirror")];
    let client = penstock.client("chat");
    let answer = client.send_with(Method::GET, "/", &key, empty()).await;
    assert_eq!(answer.whole().await.text(), "ok");
    until_ended(&penstock, "ok", 1).await;
    assert_eq!(candidate.heads()[0].header("authorization"), "");
    assert_eq!(client.get("/").await.status, 401);
    assert_eq!(candidate.seen().started, 1, "what is refused is not copied");
}

const KEY_HASH: &str = "03326ca92ae1872054762966e45f99ad2e6b03d45775ecb089254c3db594bc94";

#[tokio::test]
async fn bodies_of_every_size_and_framing_come_to_the_copy_byte_by_byte() {
    for protocol in ["http1", "h2"] {
        let (stable, candidate, penstock) = start(protocol).await;
        let (sender, mut copies) = mpsc::unbounded_channel();
        candidate.on("/", recording(sender));
        stable.on("/", Behaviour::Answer(200, "answered"));
        let client = penstock.client("chat");
        for client in [client.clone(), client.h2()] {
            for length in [0, 1, 1000, 100_000, 5_000_000] {
                let body: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
                assert_eq!(client.post("/", body.clone()).await.text(), "answered");
                let (copy, _) = soon("a copy", copies.recv()).await.unwrap();
                assert!(copy == body, "{length} bytes over {protocol}");
            }
        }
        until_nothing_is_left(&penstock).await;
        let heads = candidate.heads();
        assert!(
            heads
                .iter()
                .any(|head| head.header("content-length") == "1000")
        );
    }
}

#[tokio::test]
async fn a_stream_of_64_mib_comes_to_the_copy_as_it_flows_with_its_trailers() {
    const PIECE: usize = 1 << 16;
    const PIECES: usize = 1024;
    for protocol in ["http1", "h2"] {
        let (stable, candidate, penstock) = start(protocol).await;
        let (sender, mut copies) = mpsc::unbounded_channel();
        candidate.on("/", recording(sender));
        stable.on("/", Behaviour::Echo);
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())]);
        let (mut pieces, body) = by_pieces();
        let client = penstock.client("chat").h2();
        let mut exchange = client.send(Method::POST, "/", body).await;
        // The copy begins while the original flows.
        candidate
            .until("the copy's head", |seen| seen.current == 1)
            .await;
        let piece = Bytes::from((0..PIECE).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        let upload = async {
            for _ in 0..PIECES {
                pieces.send_data(piece.clone()).await.unwrap();
            }
            pieces
                .send(Frame::trailers(trailers.clone()))
                .await
                .unwrap();
            drop(pieces);
        };
        let download = async {
            let mut length = 0;
            while let Some(frame) = exchange.response.frame().await {
                length += frame.unwrap().data_ref().map_or(0, Bytes::len);
            }
            length
        };
        let ((), echoed) = soon("the stream", async { tokio::join!(upload, download) }).await;
        assert_eq!(echoed, PIECE * PIECES);
        let (copy, copied_trailers) = soon("the copy", copies.recv()).await.unwrap();
        assert_eq!(copy.len(), PIECE * PIECES);
        assert!(copy.chunks(PIECE).all(|chunk| chunk == piece));
        if protocol == "h2" {
            assert_eq!(copied_trailers, Some(trailers));
        }
        assert_eq!(candidate.heads()[0].header(CONTENT_LENGTH.as_str()), "");
        until_nothing_is_left(&penstock).await;
    }
}

#[tokio::test]
async fn grpc_calls_of_all_kinds_are_copied_and_compared_by_their_status() {
    let (stable, candidate) = (GrpcWorker::start().await, GrpcWorker::start().await);
    let settings = r#"protocol = "h2""#;
    let config = config(settings, stable.address, candidate.address, ROOM);
    let penstock = Penstock::start(&config).await;
    let client = GrpcClient::connect(&penstock.client("chat")).await;
    let hello = client.unary("hello".to_owned()).await.unwrap();
    assert_eq!(hello.into_inner(), "hello");
    let words = stream::iter(["one ", "two"]).map(str::to_owned);
    let joined = client.client_stream(words).await.unwrap();
    assert_eq!(joined.into_inner(), "one two");
    let numbers = client.server_stream(100).await.unwrap();
    assert_eq!(numbers.collect::<Vec<_>>().await.len(), 100);
    let (messages, outgoing) = mpsc::channel(1);
    let mut incoming = client.bidi(ReceiverStream::new(outgoing)).await.unwrap();
    for number in 0..20 {
        messages.send(number.to_string()).await.unwrap();
        let echoed = soon("the echo", incoming.message()).await.unwrap();
        assert_eq!(echoed, Some(number.to_string()));
    }
    drop(messages);
    assert_eq!(soon("the end", incoming.message()).await.unwrap(), None);
    client.unary("fail".to_owned()).await.unwrap_err();

    until_ended(&penstock, "ok", 4).await;
    until_ended(&penstock, "failed", 1).await;
    let compared = |status| [("service", "chat"), ("status", status)];
    let metrics = penstock
        .until("five comparisons", |metrics| {
            metrics.sum("penstock_mirror_comparison_status_total", &compared("same")) == 5.0
        })
        .await;
    let bytes = |of| metrics.sum("penstock_mirror_comparison_bytes_total", &[("of", of)]);
    assert!(bytes("original") > 0.0);
    assert_eq!(bytes("original"), bytes("copy"), "the same was echoed");
    until_nothing_is_left(&penstock).await;
}
