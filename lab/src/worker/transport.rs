//! What has nothing to do with models: an echo of bodies and one of WebSocket messages.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::Deserialize;

use super::{
    api::Usage,
    engine::{Engine, Request},
};

/// Longest delay that can be asked for, so that nobody parks a request for good.
const DELAY_MAX: Duration = Duration::from_secs(3600);
/// Largest WebSocket message and frame.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[derive(Deserialize)]
pub(super) struct EchoQuery {
    /// Wait before the answer begins.
    #[serde(default)]
    delay_ms: u64,
}

/// Sends the body back piece by piece as it comes.
pub(super) async fn echo(
    State(engine): State<Arc<Engine>>,
    Query(query): Query<EchoQuery>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = engine.begin();
    tokio::time::sleep(Duration::from_millis(query.delay_ms).min(DELAY_MAX)).await;
    let body = Body::from_stream(send_back(request, body.into_data_stream()));
    match headers.get(CONTENT_TYPE) {
        Some(kind) => ([(CONTENT_TYPE, kind.clone())], body).into_response(),
        None => body.into_response(),
    }
}

fn send_back(
    request: Request,
    mut pieces: BodyDataStream,
) -> impl futures_util::Stream<Item = Result<axum::body::Bytes, axum::Error>> {
    async_stream::stream! {
        while let Some(piece) = pieces.next().await {
            yield piece;
        }
        request.finish(Usage::default());
    }
}

pub(super) async fn websocket(
    State(engine): State<Arc<Engine>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let request = engine.begin();
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(|socket| echo_messages(request, socket))
}

async fn echo_messages(request: Request, mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        // Pings and the closing frame are answered by the library.
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
    request.finish(Usage::default());
}
