//! The worker's end of a WebSocket: an echo that counts as one request until it is closed.

use futures_util::{SinkExt, StreamExt};
use http::{
    Request, Response,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
    },
};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Counted, behaviour::switching};
use crate::support::client::{Body, empty};

/// Largest message, here and in the test's client.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

pub(super) fn accept(mut request: Request<Incoming>, counted: Counted) -> Response<Body> {
    let mut response = Response::builder().status(switching(&request));
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        response = response
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
    }
    if let Some(protocol) = request.headers().get(SEC_WEBSOCKET_PROTOCOL) {
        response = response.header(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let io = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await;
            echo(socket, counted).await;
        }
    });
    response.body(empty()).unwrap()
}

/// Echoes until the client closes; a text `close 4001` makes the worker close with that code.
async fn echo<S>(mut socket: WebSocketStream<S>, counted: Counted)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = socket.next().await {
        let code = message
            .to_text()
            .ok()
            .and_then(|text| text.strip_prefix("close "));
        let answered = match (&message, code) {
            (Message::Text(_), Some(code)) => {
                let code = CloseCode::from(code.parse::<u16>().unwrap());
                let reason = "as you wish".into();
                socket.close(Some(CloseFrame { code, reason })).await
            }
            (Message::Text(_) | Message::Binary(_), _) => socket.send(message).await,
            // Pings and closing are answered by the library.
            _ => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
    counted.finish();
}
