//! Workers that are reached by HTTPS.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use penstock_config::provider;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Task,
    client::{Events, empty, over_h1},
    eventually,
    fake::{Behaviour, FakeWorker},
    grpc::{GrpcClient, GrpcWorker},
    penstock::Penstock,
};

/// An authority, and what it issued.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Tests");
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// Certificate and key for a name, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join("ca.pem"), self.issuer.pem()).unwrap();
    }
}

/// What stands before a worker that itself speaks no TLS.
struct Tls {
    address: SocketAddr,
    _task: Task,
}

impl Tls {
    async fn before(
        worker: SocketAddr,
        (cert, key): (String, String),
        alpn: &[&[u8]],
        clients: Option<&Authority>,
    ) -> Self {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = CertificateDer::pem_slice_iter(cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = Task::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let near = acceptor.accept(near).await;
                    if let (Ok(mut near), Ok(mut far)) = (near, TcpStream::connect(worker).await) {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self {
            address,
            _task: task,
        }
    }
}

const HTTP1: &[&[u8]] = &[b"http/1.1"];
const H2: &[&[u8]] = &[b"h2"];

fn config(tls: &Tls, service: &str, settings: &str, deployment: &str) -> String {
    format!(
        r#"
        gateway.error_details = true
        # Each thread has connections of its own.
        gateway.threads = 1
        [services.chat]
        {service}
        [services.chat.deployments.main]
        static = {{ addresses = ["https://{}"], tls = {{ {settings} }} }}
        {deployment}
        "#,
        tls.address
    )
}

async fn start(authority: &Authority, config: &str) -> Penstock {
    let folder = tempfile::tempdir().unwrap();
    authority.write(folder.path());
    Penstock::start_in(folder, config).await
}

#[tokio::test]
async fn workers_are_reached_by_tls_over_both_protocols() {
    let authority = Authority::new();
    let worker = FakeWorker::start().await;
    worker
        .on("/echo", Behaviour::Echo)
        .on("/events", Behaviour::Events)
        .on("/ws", Behaviour::WebSocket);
    for (alpn, protocol) in [(HTTP1, "http1"), (H2, "h2")] {
        let tls = Tls::before(worker.address, authority.issue("127.0.0.1"), alpn, None).await;
        let service = format!("protocol = \"{protocol}\"");
        let probe = "probes.ready = { http = \"/\", period = \"1s\" }";
        let config = config(&tls, &service, "ca = \"ca.pem\"", probe);
        let penstock = start(&authority, &config).await;
        penstock.until_ready("chat", 1).await;
        let client = penstock.client("chat");
        for client in [&client, &client.h2()] {
            assert_eq!(client.get("/").await.text(), "ok");
            let body = vec![b'x'; 3 << 20];
            assert_eq!(client.post("/echo", body.clone()).await.body, body);
            let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
            assert!(worker.send_event("one") > 0);
            assert_eq!(events.next().await.unwrap(), "one");
        }
        if protocol == "http1" {
            drop(over_h1(&client, "/ws").await);
        }
        // Probes open connections of their own at any moment, but never to this path.
        let path = format!("/again/{protocol}");
        assert_eq!(client.get(&path).await.text(), "ok");
        assert_eq!(client.get(&path).await.text(), "ok");
        let heads = worker.heads();
        let again = heads.iter().filter(|head| head.path == path);
        let again: Vec<_> = again.map(|head| head.connection).collect();
        assert_eq!(again.len(), 2);
        assert_eq!(again[0], again[1], "one connection for both requests");
    }
}

#[tokio::test]
async fn grpc_goes_over_tls_by_alpn() {
    let authority = Authority::new();
    let worker = GrpcWorker::start().await;
    let tls = Tls::before(worker.address, authority.issue("127.0.0.1"), H2, None).await;
    let config = config(&tls, "protocol = \"h2\"", "ca = \"ca.pem\"", "");
    let penstock = start(&authority, &config).await;
    penstock.until_ready("chat", 1).await;
    let client = GrpcClient::connect(&penstock.client("chat")).await;
    let answer = client.unary("hello".to_owned()).await.unwrap();
    assert_eq!(answer.into_inner(), "hello");
}

/// What gRPC's health service answers: 1 for SERVING, 2 for NOT_SERVING.
fn health(status: u8) -> Behaviour {
    Behaviour::custom(move |_| async move {
        // A message of two bytes: the first field has this value.
        let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let mut answer = Response::new(BodyExt::boxed(body));
        let grpc = HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(CONTENT_TYPE, grpc);
        answer
    })
}

const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tokio::test]
async fn a_grpc_probe_goes_over_tls_too() {
    let authority = Authority::new();
    let worker = FakeWorker::start().await;
    worker.on(CHECK, health(1));
    let probe = "probes.ready = { grpc = \"\", period = \"100ms\", failures = 1 }";
    let (h2, ca) = ("protocol = \"h2\"", "ca = \"ca.pem\"");
    let tls = Tls::before(worker.address, authority.issue("127.0.0.1"), H2, None).await;
    let penstock = start(&authority, &config(&tls, h2, ca, probe)).await;
    penstock.until_ready("chat", 1).await;
    assert!(worker.heads().iter().any(|head| head.path == CHECK));
    worker.on(CHECK, health(2));
    penstock.until_ready("chat", 0).await;
    let status = penstock.command(&["status", "chat"]).await;
    assert!(status.contains("NOT_SERVING"), "{status}");
    worker.on(CHECK, health(1));
    penstock.until_ready("chat", 1).await;

    // Nobody is asked whose certificate is not good.
    let other = FakeWorker::start().await;
    other.on(CHECK, health(1));
    let tls = Tls::before(other.address, authority.issue("127.0.0.2"), H2, None).await;
    let penstock = start(&authority, &config(&tls, h2, ca, probe)).await;
    eventually("the reason", async || {
        let status = penstock.command(&["status", "chat"]).await;
        status.contains("not valid for name").then_some(())
    })
    .await;
    assert_eq!(other.seen().started, 0);
}

#[tokio::test]
async fn a_worker_whose_certificate_is_wrong_gets_no_request() {
    let authority = Authority::new();
    let worker = FakeWorker::start().await;
    for (name, settings, error) in [
        // The system's authorities know nothing of ours.
        ("127.0.0.1", "", "UnknownIssuer"),
        ("127.0.0.2", "ca = \"ca.pem\"", "not valid for name"),
        ("worker.example", "ca = \"ca.pem\"", "not valid for name"),
    ] {
        let tls = Tls::before(worker.address, authority.issue(name), HTTP1, None).await;
        let penstock = start(&authority, &config(&tls, "", settings, "")).await;
        penstock.until_known("chat", 1).await;
        let reply = penstock.client("chat").get("/").await;
        assert_eq!(reply.reason(), "connect_failed");
        assert!(reply.text().contains(error), "{}", reply.text());
    }
    assert_eq!(worker.seen().started, 0);
}

#[tokio::test]
async fn a_name_or_trust_of_its_own_is_enough() {
    let authority = Authority::new();
    let worker = FakeWorker::start().await;
    for settings in [
        "ca = \"ca.pem\", server_name = \"worker.example\"",
        "verify = false",
    ] {
        let own = authority.issue("worker.example");
        let tls = Tls::before(worker.address, own, HTTP1, None).await;
        let penstock = start(&authority, &config(&tls, "", settings, "")).await;
        penstock.until_known("chat", 1).await;
        assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    }
}

#[tokio::test]
async fn a_worker_may_ask_for_a_certificate_and_new_settings_hold_for_new_connections() {
    let authority = Authority::new();
    let worker = FakeWorker::start().await;
    let own = authority.issue("127.0.0.1");
    let tls = Tls::before(worker.address, own, HTTP1, Some(&authority)).await;
    let without = config(&tls, "", "ca = \"ca.pem\"", "");
    let penstock = start(&authority, &without).await;
    penstock.until_known("chat", 1).await;
    let reply = penstock.client("chat").get("/").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(worker.seen().started, 0);

    let (cert, key) = authority.issue("penstock");
    fs::write(penstock.path().join("own.crt"), cert).unwrap();
    fs::write(penstock.path().join("own.key"), key).unwrap();
    let settings = "ca = \"ca.pem\", cert = \"own.crt\", key = \"own.key\"";
    penstock.reload(&config(&tls, "", settings, "")).await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
}

#[tokio::test]
async fn copies_go_by_tls_as_well() {
    let authority = Authority::new();
    let (worker, other) = (FakeWorker::start().await, FakeWorker::start().await);
    let tls = Tls::before(other.address, authority.issue("127.0.0.1"), HTTP1, None).await;
    let penstock = start(
        &authority,
        &format!(
            r#"
            [services.chat]
            mirror = {{ to = "shadow", percent = 100 }}
            [services.chat.deployments.main]
            static = {{ addresses = ["{}"] }}
            [services.chat.deployments.shadow]
            takes_traffic = false
            static = {{ addresses = ["https://{}"], tls = {{ ca = "ca.pem" }} }}
            "#,
            worker.address, tls.address
        ),
    )
    .await;
    penstock.until_known("chat", 2).await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    eventually("the copy is there", async || {
        (other.seen().finished == 1).then_some(())
    })
    .await;
}
