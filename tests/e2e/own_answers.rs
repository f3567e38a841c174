//! What the gateway's own answers tell clients, and what they keep for the operator.

use http::Method;

use crate::support::{
    client::{Client, RawConnection, Reply, empty},
    eventually,
    fake::{Behaviour, FakeWorker},
    grpc::GrpcClient,
    penstock::Penstock,
    unreachable::Unreachable,
};

const DETAILS: &str = "gateway.error_details = true";

/// A service before a worker that cannot be connected to, and one whose worker cannot be started.
fn failing(settings: &str, unreachable: &Unreachable) -> String {
    format!(
        r#"
        {settings}
        [services.far]
        timeouts = {{ connect = "100ms" }}
        [services.far.deployments.main]
        static = {{ addresses = ["{}"] }}
        [services.broken.deployments.main]
        process = {{ command = ["/nowhere/secret-engine"] }}
        scaling = {{ min = 0 }}
        "#,
        unreachable.address
    )
}

/// The services of [`failing`] with what each answers, and what only the operator is to know of it.
async fn failures(penstock: &Penstock, unreachable: &Unreachable) -> [(Reply, String); 2] {
    let far = penstock.client("far").get("/").await;
    assert_eq!((far.status.as_u16(), far.reason()), (502, "connect_failed"));
    let broken = penstock.client("broken").get("/").await;
    let (status, reason) = (broken.status.as_u16(), broken.reason());
    assert_eq!((status, reason), (503, "start_failed"));
    [
        (far, unreachable.address.to_string()),
        (broken, "/nowhere/secret-engine".to_owned()),
    ]
}

#[tokio::test]
async fn addresses_and_programs_go_to_the_log_under_the_id_that_the_client_has() {
    let unreachable = Unreachable::new().await;
    let penstock = Penstock::start(&failing("", &unreachable)).await;
    for (reply, secret) in failures(&penstock, &unreachable).await {
        assert!(!reply.text().contains(&secret), "{}", reply.text());
        let id = reply.header("x-request-id").to_owned();
        assert_eq!(reply.json()["request_id"], id);
        eventually("the operator finds the cause by the id", async || {
            let log = penstock.log();
            let mut lines = log.lines();
            lines
                .any(|line| line.contains(&id) && line.contains(&secret) && line.contains("WARN"))
                .then_some(())
        })
        .await;
    }
    let grpc = GrpcClient::connect(&penstock.client("broken")).await;
    let status = grpc.unary("hello".to_owned()).await.unwrap_err();
    assert_eq!(status.message(), "no worker could be started");
    assert!(status.metadata().contains_key("x-request-id"));
}

#[tokio::test]
async fn with_error_details_clients_are_told_the_cause() {
    let unreachable = Unreachable::new().await;
    let penstock = Penstock::start(&failing(DETAILS, &unreachable)).await;
    for (reply, cause) in failures(&penstock, &unreachable).await {
        let body = reply.json();
        for told in [&body["detail"], &body["message"], &body["error"]["message"]] {
            assert!(told.as_str().unwrap().contains(&cause), "{body}");
        }
    }
    let nowhere = Client::new(penstock.address, "nowhere").get("/x").await;
    assert_eq!(
        nowhere.json()["detail"],
        "no service at nowhere/x: services are at broken.local.localhost, far.local.localhost"
    );
    penstock.reload(&failing("", &unreachable)).await;
    let nowhere = Client::new(penstock.address, "nowhere").get("/x").await;
    assert_eq!(nowhere.json()["detail"], "no service at nowhere/x");
}

#[tokio::test]
async fn every_answer_is_an_error_of_the_openai_api_too_and_has_its_id() {
    let worker = FakeWorker::start().await;
    worker.on("/hold", Behaviour::Hold);
    let config = r#"
        limits = [{ concurrent = 1 }]
        api_keys = { ci = { sha256 = "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73" } }
        "#;
    let penstock = Penstock::before(worker.address, config).await;
    let client = penstock.client("chat");
    for client in [client.clone(), client.h2()] {
        let keyless = client.get("/v1/models").await;
        let body = keyless.json();
        assert_eq!(body["status"], 401);
        assert_eq!(body["error"]["type"], "authentication_error");
        assert_eq!(body["error"]["code"], "unauthenticated");
        assert_eq!(body["error"]["message"], body["detail"]);
        assert_eq!(body["message"], body["detail"]);
        assert_eq!(body["request_id"], keyless.header("x-request-id"));
        // A HEAD says as much as it can.
        let head = client.send(Method::HEAD, "/", empty()).await.whole().await;
        assert!(!head.header("x-request-id").is_empty());
    }
    let mut raw = RawConnection::open(penstock.address).await;
    raw.write("this is not HTTP\r\n\r\n").await;
    let answer = raw.read_to_end().await;
    assert!(answer.contains("\r\nx-request-id: "), "{answer}");
    assert!(answer.contains(r#""code":"bad_request""#), "{answer}");
}
