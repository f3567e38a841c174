//! gRPC: tonic on both sides.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::support::{
    grpc::{GrpcClient, GrpcWorker},
    penstock::Penstock,
    soon,
};

async fn start() -> (GrpcWorker, Penstock, GrpcClient) {
    let worker = GrpcWorker::start().await;
    let config = format!(
        r#"
        [services.echo]
        protocol = "h2"
        [services.echo.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    let client = GrpcClient::connect(&penstock.client("echo")).await;
    (worker, penstock, client)
}

#[tokio::test]
async fn all_four_kinds_of_calls_pass() {
    let (_worker, _penstock, client) = start().await;
    assert_eq!(
        client.unary("hello".to_owned()).await.unwrap().into_inner(),
        "hello"
    );

    let words = stream::iter(["one ", "two ", "three"]).map(str::to_owned);
    assert_eq!(
        client.client_stream(words).await.unwrap().into_inner(),
        "one two three"
    );

    let numbers: Vec<String> = client
        .server_stream(1000)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(
        numbers,
        (0..1000).map(|n| n.to_string()).collect::<Vec<_>>()
    );

    let (messages, outgoing) = tokio::sync::mpsc::channel(1);
    let mut incoming = client.bidi(ReceiverStream::new(outgoing)).await.unwrap();
    for number in 0..100 {
        messages.send(number.to_string()).await.unwrap();
        let echoed = soon("the echo", incoming.message()).await.unwrap();
        assert_eq!(echoed.unwrap(), number.to_string());
    }
    drop(messages);
    assert_eq!(soon("the end", incoming.message()).await.unwrap(), None);
}

#[tokio::test]
async fn metadata_and_error_trailers_pass() {
    let (_worker, _penstock, client) = start().await;
    let mut request = Request::new("hello".to_owned());
    request
        .metadata_mut()
        .insert("x-ask", "a question".parse().unwrap());
    let response = client.unary(request).await.unwrap();
    assert_eq!(response.metadata().get("x-answer").unwrap(), "a question");

    let status = client.unary("fail".to_owned()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DataLoss, "as you wish")
    );
    assert_eq!(
        status.metadata().get("x-detail").unwrap(),
        "from the worker"
    );

    let unknown = client
        .server_stream(0)
        .await
        .unwrap()
        .message()
        .await
        .unwrap();
    assert_eq!(unknown, None, "an empty stream has only trailers");
}

#[tokio::test]
async fn a_large_message_passes_both_ways() {
    let (_worker, _penstock, client) = start().await;
    let large = "0123456789abcdef".repeat(1 << 20);
    assert!(client.unary(large.clone()).await.unwrap().into_inner() == large);
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let (worker, penstock, client) = start().await;
    let mut request = Request::new("hang".to_owned());
    request.set_timeout(Duration::from_millis(300));
    let before = Instant::now();
    let status = soon("the deadline", client.unary(request))
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    assert!(before.elapsed() >= Duration::from_millis(290));
    worker.until_open(0).await;
    penstock.until_load("echo", 0, 0).await;
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_worker() {
    let (worker, penstock, client) = start().await;
    let call = tokio::spawn(async move { client.unary("hang".to_owned()).await });
    worker.until_open(1).await;
    penstock.until_load("echo", 1, 0).await;
    call.abort();
    worker.until_open(0).await;
    penstock.until_load("echo", 0, 0).await;
}

#[tokio::test]
async fn the_gateways_own_answers_are_grpc_statuses() {
    let (worker, penstock, _client) = start().await;
    let stranger = GrpcClient::connect(&penstock.client("stranger")).await;
    let status = stranger.unary("hello".to_owned()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.metadata().get("x-penstock-reason").unwrap(),
        "no_route"
    );

    drop(worker);
    let client = GrpcClient::connect(&penstock.client("echo")).await;
    let status = client.unary("hello".to_owned()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}
