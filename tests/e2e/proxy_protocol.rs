//! The PROXY protocol: listeners behind a proxy that passes bytes on.

use std::{fs, net::SocketAddr, process::Stdio};

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    process::{Child, Command},
};

use crate::support::{
    Task,
    client::{RawConnection, empty},
    eventually,
    fake::FakeWorker,
    penstock::Penstock,
    soon,
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: chat.local.localhost\r\nconnection: close\r\n\r\n";

/// The same as `V1` in version 2, with an extension.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    header.extend([192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80]);
    header.extend(b"\xea\0\x05vpce1");
    header
}

/// Time for a header, for those who send one.
const ENOUGH: &str = "60s";

/// Where the tests connect from.
const HERE: &str = r#"["127.0.0.0/8"]"#;

fn config(worker: &FakeWorker, proxy_protocol: &str, header_timeout: &str) -> String {
    format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0", proxy_protocol = {proxy_protocol} }}]
        gateway.limits = {{ header_timeout = "{header_timeout}" }}
        gateway.access_log = "json"
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    )
}

async fn start(header_timeout: &str) -> (FakeWorker, Penstock) {
    let worker = FakeWorker::start().await;
    let penstock = Penstock::start(&config(&worker, HERE, header_timeout)).await;
    (worker, penstock)
}

/// Whom the worker took for the client of the last request.
fn last_client(worker: &FakeWorker) -> String {
    worker.heads().last().unwrap().header("x-forwarded-for")
}

async fn refused(penstock: &Penstock) -> f64 {
    let page = penstock.metrics().await;
    page.sum("penstock_proxy_headers_refused_total", &[])
}

#[tokio::test]
async fn the_client_is_whom_the_proxy_names() {
    let (worker, mut penstock) = start(ENOUGH).await;
    for (header, client) in [
        (V1, "192.0.2.1"),
        (&v2(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (LOCAL, "127.0.0.1"),
    ] {
        let mut connection = RawConnection::open(penstock.address).await;
        connection.write([header, REQUEST].concat()).await;
        let answer = connection.read_to_end().await;
        assert!(answer.ends_with("ok"), "{answer}");
        assert_eq!(last_client(&worker), client);
    }
    penstock.stop().await;
    let log = penstock.log();
    assert!(log.contains(r#""client":"192.0.2.1:4711""#), "{log}");
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let (worker, penstock) = start(ENOUGH).await;
    for header in [V1, &v2()] {
        let mut connection = RawConnection::open(penstock.address).await;
        for byte in [header, REQUEST].concat() {
            connection.write([byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(connection.read_to_end().await.ends_with("ok"));
        assert_eq!(last_client(&worker), "192.0.2.1");
    }
}

#[tokio::test]
async fn http2_begins_after_the_header() {
    let (worker, penstock) = start(ENOUGH).await;
    for header in [V1, &v2()] {
        let mut stream = TcpStream::connect(penstock.address).await.unwrap();
        stream.write_all(header).await.unwrap();
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let _task = Task::spawn(async { drop(connection.await) });
        for _ in 0..3 {
            let request = Request::builder()
                .method(Method::GET)
                .uri("http://chat.local.localhost/")
                .body(empty())
                .unwrap();
            let answer = soon("the answer", sender.send_request(request))
                .await
                .unwrap();
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "ok");
            assert_eq!(last_client(&worker), "192.0.2.1");
        }
    }
}

#[tokio::test]
async fn what_does_not_begin_with_a_header_is_closed_and_counted() {
    let (worker, penstock) = start("3s").await;
    let beginnings: [&[u8]; 5] = [
        REQUEST,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 99999 80\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x51\x11\0\0",
        // The rest does not come in time.
        b"PROXY TCP4 192.0.2.1",
    ];
    for bytes in beginnings {
        let mut connection = RawConnection::open(penstock.address).await;
        connection.write(bytes).await;
        assert_eq!(connection.read_to_end().await, "");
    }
    // Somebody looks whether the port is open.
    let mut look = RawConnection::open(penstock.address).await;
    look.end().await;
    assert_eq!(look.read_to_end().await, "");
    assert_eq!(refused(&penstock).await, beginnings.len() as f64);
    assert_eq!(worker.seen().started, 0);
}

#[tokio::test]
async fn a_header_from_elsewhere_is_not_believed() {
    let worker = FakeWorker::start().await;
    // Who could name a client from there would get in, and could name the request too.
    let config = format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0", proxy_protocol = ["192.0.2.0/24"] }}]
        gateway.trusted_proxies = ["10.0.0.0/8"]
        [services.chat.clients]
        allow = ["10.0.0.0/8"]
        [services.chat.deployments.main]
        static = {{ addresses = ["{}"] }}
        "#,
        worker.address
    );
    let penstock = Penstock::start(&config).await;
    let claim = b"PROXY TCP4 10.0.0.9 198.51.100.1 4711 80\r\n";
    let request =
        String::from_utf8_lossy(REQUEST).replace("host:", "x-request-id: forged\r\nhost:");
    let mut connection = RawConnection::open(penstock.address).await;
    connection.write([claim, request.as_bytes()].concat()).await;
    assert_eq!(connection.read_to_end().await, "");
    assert_eq!(refused(&penstock).await, 1.0);
    assert_eq!(worker.seen().started, 0);
    let why = "the peer is in no network of the listener's `proxy_protocol`";
    eventually("the log says why", async || {
        penstock.log().contains(why).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_named_is_a_client_and_no_proxy() {
    let worker = FakeWorker::start().await;
    let trusted = "gateway.trusted_proxies = [\"127.0.0.0/8\"]";
    let config = format!("{}\n", config(&worker, HERE, ENOUGH)).replace(
        "gateway.access_log",
        &format!("{trusted}\n        gateway.access_log"),
    );
    let penstock = Penstock::start(&config).await;
    let claims = "x-request-id: forged\r\nx-forwarded-for: 10.0.0.1\r\nhost:";
    let request = String::from_utf8_lossy(REQUEST).replace("host:", claims);
    let mut connection = RawConnection::open(penstock.address).await;
    connection.write([V1, request.as_bytes()].concat()).await;
    let answer = connection.read_to_end().await;
    assert!(
        answer.ends_with("ok") && !answer.contains("forged"),
        "{answer}"
    );
    assert_eq!(last_client(&worker), "192.0.2.1");
}

#[tokio::test]
async fn all_addresses_of_an_ipv6_network_are_one_client_and_ipv4_in_disguise_is_ipv4() {
    let worker = FakeWorker::start().await;
    let limits = r#"[services.chat]
        limits = [{ requests = 2, period = "1h", per = "client-address" }]
        [services.chat.deployments"#;
    let config = config(&worker, HERE, ENOUGH).replace("[services.chat.deployments", limits);
    let penstock = Penstock::start(&config).await;
    let admitted = async |clients: &[String]| {
        let mut admitted = 0;
        for client in clients {
            let mut connection = RawConnection::open(penstock.address).await;
            let header = format!("PROXY TCP6 {client} ::1 4711 80\r\n");
            connection
                .write([header.as_bytes(), REQUEST].concat())
                .await;
            admitted += usize::from(connection.read_to_end().await.ends_with("ok"));
        }
        admitted
    };
    let network: Vec<_> = (1..=30)
        .map(|host| format!("2001:db8::{host:x}:{host:x}"))
        .collect();
    assert_eq!(admitted(&network).await, 2);
    assert_eq!(admitted(&["2001:db8:0:1::1".to_owned()]).await, 1);
    let disguised = ["::ffff:192.0.2.1", "::ffff:192.0.2.2"].map(str::to_owned);
    assert_eq!(admitted(&disguised).await, 2);
    let mut plain = RawConnection::open(penstock.address).await;
    plain.write([V1, REQUEST].concat()).await;
    assert!(plain.read_to_end().await.ends_with("ok"), "its second");
    let mut third = RawConnection::open(penstock.address).await;
    third.write([V1, REQUEST].concat()).await;
    assert!(third.read_to_end().await.contains("429"), "its third");
}

#[tokio::test]
async fn a_reload_changes_it_for_connections_that_come_from_then_on() {
    let (worker, penstock) = start(ENOUGH).await;
    let mut before = RawConnection::open(penstock.address).await;
    let keep = String::from_utf8_lossy(REQUEST).replace("connection: close\r\n", "");
    before.write([V1, keep.as_bytes()].concat()).await;
    before.read_until("ok").await;
    penstock.reload(&config(&worker, "[]", ENOUGH)).await;
    assert_eq!(penstock.client("chat").get("/").await.text(), "ok");
    assert_eq!(last_client(&worker), "127.0.0.1");
    before.write(REQUEST).await;
    assert!(before.read_to_end().await.ends_with("ok"));
    assert_eq!(last_client(&worker), "192.0.2.1");
    penstock.reload(&config(&worker, HERE, ENOUGH)).await;
    let mut after = RawConnection::open(penstock.address).await;
    after.write(REQUEST).await;
    assert_eq!(after.read_to_end().await, "");
}

/// HAProxy in front of the gateway: two ports, for the two versions. `None` where it is not installed.
fn haproxy(penstock: &Penstock) -> Option<(Child, [SocketAddr; 2])> {
    let free = || {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let ports = [free(), free()];
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n\
         listen v1\n  bind {}\n  server gateway {gateway} send-proxy\n\
         listen v2\n  bind {}\n  server gateway {gateway} send-proxy-v2 proxy-v2-options crc32c\n",
        ports[0],
        ports[1],
        gateway = penstock.address
    );
    let file = penstock.path().join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let child = Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    Some((child.ok()?, ports))
}

#[tokio::test]
async fn haproxy_tells_the_client_in_either_version() {
    let (worker, penstock) = start(ENOUGH).await;
    let Some((_haproxy, ports)) = haproxy(&penstock) else {
        eprintln!("skipped: haproxy is not installed");
        return;
    };
    for port in ports {
        let mut stream = eventually("haproxy listens", async || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            socket.connect(port).await.ok()
        })
        .await;
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        soon("the answer", read).await.unwrap();
        assert!(
            answer.ends_with(b"ok"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(last_client(&worker), "127.0.0.2");
    }
}
