//! Twenty updates under load of every protocol, and nothing is lost.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt, future::BoxFuture};
use http::Method;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    client::{Client, Events, empty, full, over_h1},
    fake::{Behaviour, FakeWorker},
    grpc::{GrpcClient, GrpcWorker},
    penstock::{Penstock, simulated},
    soon,
};

const UPDATES: u64 = 20;

/// Workers of the services `echo` and `socket`: each is a Penstock of its own before a worker of the test,
/// so that what is cut with it is seen.
fn relay(service: &str) -> String {
    let program = env!("CARGO_BIN_EXE_penstock");
    let file = format!("{service}-$PORT.toml");
    format!(
        "shell = '''sed \"s/PORT/$PORT/g\" {service}.template > {file}; exec {program} run {file}'''"
    )
}

fn template(service: &str, address: &str, protocol: &str) -> String {
    format!(
        r#"
        listeners = [{{ address = "127.0.0.1:PORT" }}]
        admin = {{ address = "127.0.0.1:0", state = "{service}-PORT.db" }}
        gpus = {{ devices = [] }}
        [services.{service}]
        protocol = "{protocol}"
        [services.{service}.deployments.main]
        static = {{ addresses = ["{address}"] }}
        "#
    )
}

fn config(round: u64) -> String {
    let chat = simulated("--load-time 0s --tokens-per-second 200");
    let deployment = |service: &str, process: &str| {
        format!(
            r#"
            [services.{service}.deployments.main]
            process = {{ {process}, env = {{ ROUND = "{round}" }} }}
            scaling = {{ min = 2, max = 2 }}
            "#
        )
    };
    format!(
        "[services.echo]\nprotocol = \"h2\"\n{}{}{}",
        deployment("echo", &relay("echo")),
        deployment("socket", &relay("socket")),
        deployment("chat", &chat)
    )
}

/// A client that asks until it is told to stop; how often it did.
fn caller(
    stop: &Arc<AtomicBool>,
    ask: impl Fn() -> BoxFuture<'static, ()> + Send + 'static,
) -> impl Future<Output = usize> + Send + 'static {
    let stop = Arc::clone(stop);
    async move {
        let mut asked = 0;
        while !stop.load(Ordering::Relaxed) {
            ask().await;
            asked += 1;
        }
        asked
    }
}

async fn plain(client: Client) {
    let mut connection = soon("a connection", client.connect()).await.unwrap();
    for _ in 0..10 {
        let request = client.request(Method::GET, "/v1/models", empty());
        let answer = soon("an answer", connection.send(request)).await.unwrap();
        let reply = answer.status();
        assert_eq!(reply, 200);
        let whole = http_body_util::BodyExt::collect(answer.into_body());
        soon("its body", whole).await.unwrap();
    }
}

async fn stream(client: Client) {
    let body = r#"{"model": "demo", "stream": true, "max_tokens": 40, "ignore_eos": true, "messages": [{"role": "user", "content": "hello"}]}"#;
    let exchange = client
        .send(Method::POST, "/v1/chat/completions", full(body))
        .await;
    let events = Events::new(exchange).rest().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert!(events.len() > 40, "{} events", events.len());
}

async fn call(client: GrpcClient) {
    let reply = soon("a reply", client.unary("hello".to_owned())).await;
    assert_eq!(reply.unwrap().into_inner(), "hello");
    let numbers = soon("a stream", client.server_stream(100)).await.unwrap();
    let numbers: Vec<_> = soon("its end", numbers.collect()).await;
    assert_eq!(numbers.iter().filter(|number| number.is_ok()).count(), 100);
}

async fn talk(client: Client) {
    let mut socket = over_h1(&client, "/ws").await;
    for number in 0..20 {
        let said = number.to_string();
        socket.send(Message::text(said.clone())).await.unwrap();
        let back = soon("an echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), said);
        tokio::task::yield_now().await;
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = soon("the socket's end", socket.next()).await {}
}

#[tokio::test]
async fn twenty_updates_lose_nothing() {
    let (grpc, fake) = (GrpcWorker::start().await, FakeWorker::start().await);
    fake.on("/ws", Behaviour::WebSocket);
    let dir = tempfile::tempdir().unwrap();
    for (service, address, protocol) in [
        ("echo", grpc.address, "h2"),
        ("socket", fake.address, "http1"),
    ] {
        let text = template(service, &address.to_string(), protocol);
        fs::write(dir.path().join(format!("{service}.template")), text).unwrap();
    }
    let mut penstock = Penstock::start_in(dir, &config(1)).await;
    let services = ["chat", "echo", "socket"];
    for service in services {
        penstock.until_all_run(service, 1, 2).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    let chat = penstock.client("chat");
    for _ in 0..2 {
        let client = chat.clone();
        callers.spawn(caller(&stop, move || Box::pin(plain(client.clone()))));
        let client = chat.clone();
        callers.spawn(caller(&stop, move || Box::pin(stream(client.clone()))));
        let client = GrpcClient::connect(&penstock.client("echo")).await;
        callers.spawn(caller(&stop, move || Box::pin(call(client.clone()))));
        let client = penstock.client("socket");
        callers.spawn(caller(&stop, move || Box::pin(talk(client.clone()))));
    }
    for round in 2..=UPDATES + 1 {
        penstock.reload(&config(round)).await;
        for service in services {
            penstock.until_all_run(service, round, 2).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(asked) = callers.join_next().await {
        let asked = asked.expect("nothing was lost");
        assert!(asked >= 5, "only {asked}");
    }
    penstock.stop().await;
}
