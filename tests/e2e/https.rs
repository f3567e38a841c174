//! HTTPS: certificates by name, both protocols, reloads, and what happens to everything else.

use std::{fs, os::unix::fs::symlink, path::Path};

use futures_util::{SinkExt, StreamExt};
use http::Method;
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::support::{
    client::{Client, Events, RawConnection, empty, over_h1, over_h2, secure, trusting},
    eventually,
    fake::{Behaviour, FakeWorker},
    penstock::Penstock,
    soon,
};

const HOST: &str = "chat.local.localhost";

/// Writes a new certificate for these names, and its key, to `{to}.crt` and `{to}.key`; the certificate.
fn certificate(folder: &Path, to: &str, names: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names).unwrap().self_signed(&key);
    let pem = made.unwrap().pem();
    // As whoever renews certificates should: there is never half a file.
    for (name, text) in [("key", key.serialize_pem()), ("crt", pem.clone())] {
        let file = folder.join(format!("{to}.{name}"));
        let new = folder.join(format!("{to}.{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
    }
    pem
}

fn config(worker: &FakeWorker, listener: &str, certificates: &str) -> String {
    format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0", {listener}, tls = {{ certificates = [{certificates}], hsts = "1d" }} }}]
        gateway.limits = {{ header_timeout = "3s" }}
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    )
}

/// `{ cert = "NAME.crt", key = "NAME.key" }`
fn named(name: &str) -> String {
    format!("{{ cert = \"{name}.crt\", key = \"{name}.key\" }}")
}

/// Penstock with a certificate for `chat`, which is the second thing returned.
async fn start(worker: &FakeWorker) -> (Penstock, String) {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path(), "tls", &[HOST]);
    let config = config(worker, "proxy_protocol = false", &named("tls"));
    (Penstock::start_in(folder, &config).await, pem)
}

async fn echoes<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    socket.send(Message::text("hello")).await.unwrap();
    let echo = soon("the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echo.to_text().unwrap(), "hello");
}

async fn handshakes(penstock: &Penstock, result: &str) -> f64 {
    let page = penstock.metrics().await;
    page.sum("penstock_tls_handshakes_total", &[("result", result)])
}

#[tokio::test]
async fn requests_come_by_https_over_both_protocols_and_the_worker_is_told() {
    let worker = FakeWorker::start().await;
    worker
        .on("/events", Behaviour::Events)
        .on("/echo", Behaviour::Echo)
        .on("/ws", Behaviour::WebSocket);
    let (penstock, pem) = start(&worker).await;
    let h1 = penstock.client("chat").https(&pem);
    let h2 = penstock.client("chat").h2().https(&pem);
    for client in [&h1, &h2] {
        let reply = client.get("/").await;
        assert_eq!(reply.text(), "ok");
        assert_eq!(reply.header("strict-transport-security"), "max-age=86400");
        let head = worker.heads().pop().unwrap();
        assert_eq!(head.header("x-forwarded-proto"), "https");
        assert!(head.header("forwarded").ends_with(";proto=https"));
        // Large enough for many records, in both directions.
        let body = vec![b'x'; 3 << 20];
        assert_eq!(client.post("/echo", body.clone()).await.body, body);
        let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
        assert!(worker.send_event("one") > 0);
        assert_eq!(events.next().await.unwrap(), "one");
    }
    let mut socket = over_h1(&h1, "/ws").await;
    echoes(&mut socket).await;
    let (_connection, mut socket) = over_h2(&h2, "/ws").await;
    echoes(&mut socket).await;
    assert!(handshakes(&penstock, "ok").await >= 8.0);
    let page = penstock.metrics().await;
    let ends = page.sum("penstock_tls_certificate_expiry_timestamp_seconds", &[]);
    assert!(ends > 1.7e9, "{ends}");
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let worker = FakeWorker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path(), "first", &["localhost", "127.0.0.1"]);
    let second = certificate(folder.path(), "second", &["*.local.localhost"]);
    let both = format!("{}, {}", named("first"), named("second"));
    let config = config(&worker, "proxy_protocol = false", &both);
    let penstock = Penstock::start_in(folder, &config).await;
    let trusted = async |host: &str, pem: &str| {
        let stream = TcpStream::connect(penstock.address).await.unwrap();
        secure(stream, host, &trusting(pem, &[])).await.is_ok()
    };
    assert!(trusted(HOST, &second).await);
    assert!(trusted("localhost", &first).await);
    // Who asks for an address sends no name, and gets the first.
    assert!(trusted("127.0.0.1", &first).await);
    assert!(!trusted("elsewhere.example.org", &second).await);
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_without_cutting_anything_and_a_bad_one_is_not() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let (penstock, old) = start(&worker).await;
    let before = penstock.client("chat").https(&old);
    let mut events = Events::new(before.send(Method::GET, "/events", empty()).await);
    let mut kept = before.connect().await.unwrap();
    let request = |client: &Client| client.request(Method::GET, "/", empty());
    assert_eq!(kept.send(request(&before)).await.unwrap().status(), 200);

    let new = certificate(penstock.path(), "tls", &[HOST]);
    let after = penstock.client("chat").https(&new);
    eventually("the new certificate is in use", async || {
        after.try_send(request(&after)).await.ok()
    })
    .await;
    // A client that was there before may resume its session; a new one sees the new certificate.
    let other = penstock.client("chat").https(&old);
    assert!(other.try_send(request(&other)).await.is_err());
    // What was open goes on.
    worker.send_event("still there");
    assert_eq!(events.next().await.unwrap(), "still there");
    assert_eq!(kept.send(request(&before)).await.unwrap().status(), 200);

    fs::write(penstock.path().join("tls.key"), "rubbish").unwrap();
    let error = eventually("the bad key is refused", async || {
        let status = penstock.admin().get("/api/v1/status").await.json();
        let error = status["config"]["last_error"].as_str()?.to_owned();
        error.contains("is not PEM").then_some(error)
    })
    .await;
    let key = "listeners[0].tls.certificates[0].key";
    assert!(error.contains(key), "{error}");
    assert_eq!(after.get("/").await.text(), "ok");
    let refused = [("result", "refused")];
    let page = penstock.metrics().await;
    assert!(page.sum("penstock_config_reloads_total", &refused) > 0.0);
    let log = penstock.log();
    assert!(log.contains("ERROR") && log.contains("is not PEM"), "{log}");
}

#[tokio::test]
async fn a_folder_of_certificates_may_be_swapped_as_kubernetes_does() {
    let worker = FakeWorker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("mount");
    let version = |name: &str| {
        let version = mount.join(name);
        fs::create_dir_all(&version).unwrap();
        let pem = certificate(&version, "tls", &[HOST]);
        symlink(name, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        pem
    };
    let old = version("..1");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let config = config(&worker, "proxy_protocol = false", &named("mount/tls"));
    let penstock = Penstock::start_in(folder, &config).await;
    let client = penstock.client("chat");
    assert_eq!(client.https(&old).get("/").await.text(), "ok");
    // Twice: the watch has to follow.
    for name in ["..2", "..3"] {
        let new = client.https(&version(name));
        eventually("the new certificate is in use", async || {
            let request = new.request(Method::GET, "/", empty());
            new.try_send(request).await.ok()
        })
        .await;
    }
}

#[tokio::test]
async fn plain_http_at_a_tls_port_is_told_what_to_do_and_others_are_counted() {
    let worker = FakeWorker::start().await;
    let (penstock, pem) = start(&worker).await;
    let mut plain = RawConnection::open(penstock.address).await;
    plain.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = plain.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/plain"), "{answer}");
    assert!(answer.ends_with("write https:// instead."), "{answer}");

    let mut garbage = RawConnection::open(penstock.address).await;
    garbage.write([0, 1, 2, 3]).await;
    assert_eq!(garbage.read_to_end().await, "");
    // One that says nothing is closed after header_timeout.
    let mut silent = RawConnection::open(penstock.address).await;
    assert_eq!(silent.read_to_end().await, "");
    let mut half = RawConnection::open(penstock.address).await;
    half.write([22, 3, 1, 1]).await;
    half.read_to_end().await;
    let stream = TcpStream::connect(penstock.address).await.unwrap();
    let nobody = trusting("", &[]);
    assert!(secure(stream, HOST, &nobody).await.is_err());
    let stream = TcpStream::connect(penstock.address).await.unwrap();
    assert!(
        secure(stream, HOST, &trusting(&pem, &[b"spdy/3"]))
            .await
            .is_err()
    );
    for (result, count) in [
        ("plain_http", 1.0),
        ("malformed", 1.0),
        ("timeout", 2.0),
        ("not_trusted", 1.0),
        ("no_protocol", 1.0),
    ] {
        eventually(result, async || {
            (handshakes(&penstock, result).await == count).then_some(())
        })
        .await;
    }
    assert_eq!(worker.seen().started, 0);
    assert!(!penstock.log().contains("ERROR"), "{}", penstock.log());
}

#[tokio::test]
async fn a_tls_client_at_a_plain_port_is_counted_as_that() {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::before(worker.address, "").await;
    let stream = TcpStream::connect(penstock.address).await.unwrap();
    assert!(secure(stream, HOST, &trusting("", &[])).await.is_err());
    eventually("it is counted", async || {
        (handshakes(&penstock, "plain_listener").await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_header_of_a_proxy_in_front_comes_before_tls() {
    let worker = FakeWorker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate(folder.path(), "tls", &[HOST]);
    let config = config(&worker, "proxy_protocol = [\"127.0.0.1\"]", &named("tls"));
    let penstock = Penstock::start_in(folder, &config).await;
    let mut stream = TcpStream::connect(penstock.address).await.unwrap();
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
    stream.write_all(header).await.unwrap();
    let mut stream = secure(stream, HOST, &trusting(&pem, &[])).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    let head = worker.heads().pop().unwrap();
    assert_eq!(head.header("x-forwarded-for"), "192.0.2.1");
    assert_eq!(head.header("x-forwarded-proto"), "https");
}

#[tokio::test]
async fn a_listener_may_send_everybody_to_https() {
    let worker = FakeWorker::start().await;
    let address = worker.address;
    let penstock = Penstock::start(&format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0", redirect_https = 8443 }}]
        [services.chat.deployments.main]
        static = {{ addresses = ["{address}"] }}
        "#
    ))
    .await;
    for client in [penstock.client("chat"), penstock.client("chat").h2()] {
        let reply = client.post("/v1/chat?a=1&b", "body").await;
        assert_eq!(reply.status, 308);
        assert_eq!(reply.reason(), "https_required");
        let wanted = "https://chat.local.localhost:8443/v1/chat?a=1&b";
        assert_eq!(reply.header("location"), wanted);
    }
    assert_eq!(worker.seen().started, 0);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_over_tls() {
    let worker = FakeWorker::start().await;
    worker.on("/events", Behaviour::Events);
    let (mut penstock, pem) = start(&worker).await;
    let client = penstock.client("chat").https(&pem);
    let mut events = Events::new(client.send(Method::GET, "/events", empty()).await);
    penstock.until_load("chat", 1, 0).await;
    penstock.signal(Signal::SIGTERM);
    eventually("it accepts nothing new", async || {
        TcpStream::connect(penstock.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    worker.send_event("last");
    assert_eq!(events.next().await.unwrap(), "last");
    drop(events);
    assert!(penstock.exit().await.success());
}

#[tokio::test]
async fn operators_try_requests_where_there_is_nothing_but_https() {
    let worker = FakeWorker::start().await;
    let (penstock, _) = start(&worker).await;
    penstock.until_ready("chat", 1).await;
    let asked = r#"{"service": "chat", "path": "/"}"#;
    let reply = penstock.admin().post("/api/v1/try", asked).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Its certificate is signed by nobody that this machine knows. To itself that does not matter.
    assert!(reply.text().contains(r#""status":200"#), "{}", reply.text());
}
