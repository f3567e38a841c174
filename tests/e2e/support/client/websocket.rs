//! WebSockets over both versions of HTTP.

use http::{Method, Response};
use hyper::{body::Incoming, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{client::IntoClientRequest, protocol::Role},
};

use super::{Client, Connection, Stream, empty};
use crate::support::{fake::websocket_config, soon};

/// By the `Upgrade` of HTTP/1.1 (RFC 6455).
pub(crate) async fn over_h1(client: &Client, path: &str) -> WebSocketStream<Stream> {
    let stream = client.stream().await.expect("a listener");
    let request = format!("ws://{}{path}", client.host)
        .into_client_request()
        .unwrap();
    let handshake = client_async_with_config(request, stream, Some(websocket_config()));
    soon("the handshake", handshake)
        .await
        .expect("a WebSocket")
        .0
}

/// By the extended CONNECT of HTTP/2 (RFC 8441). The connection must live as long as the socket.
pub(crate) async fn over_h2(
    client: &Client,
    path: &str,
) -> (Connection, WebSocketStream<TokioIo<Upgraded>>) {
    let (connection, response) = extended_connect(client, path).await;
    assert_eq!(response.status(), 200);
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let config = Some(websocket_config());
    (
        connection,
        WebSocketStream::from_raw_socket(io, Role::Client, config).await,
    )
}

/// The answer to an extended CONNECT, whatever it is.
pub(crate) async fn extended_connect(
    client: &Client,
    path: &str,
) -> (Connection, Response<Incoming>) {
    let client = client.h2();
    let mut connection = client.connect().await.unwrap();
    // An answer proves that the other side's settings have come, extended CONNECT among them.
    soon(
        "an answer",
        connection.send(client.request(Method::GET, "/", empty())),
    )
    .await
    .unwrap();
    let mut request = client.request(Method::CONNECT, path, empty());
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    request
        .headers_mut()
        .insert("sec-websocket-version", "13".parse().unwrap());
    let response = soon("the handshake", connection.send(request))
        .await
        .unwrap();
    (connection, response)
}
