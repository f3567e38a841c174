//! Long texts, written on a thread where that holds up nobody and sent as they are written.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::channel::Channel;
use serde::Serialize;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::Problem;

/// Writes a text piece by piece, until the other side wants no more of it; whether it took all.
pub type Write = Arc<dyn Fn(&mut dyn FnMut(String) -> bool) -> bool + Send + Sync>;

/// Pieces that may be ready before the client has taken them.
const PIECES_MAX: usize = 4;

/// An answer whose body `write` writes. At most a few pieces of it are in memory at any time.
pub(super) fn stream(content_type: &'static str, write: Write) -> Response {
    let (mut pieces, body) = Channel::<Bytes>::new(PIECES_MAX);
    let runtime = Handle::current();
    spawn_blocking(move || {
        write(&mut |piece| {
            piece.is_empty() || runtime.block_on(pieces.send_data(piece.into())).is_ok()
        });
    });
    ([(header::CONTENT_TYPE, content_type)], Body::new(body)).into_response()
}

/// An answer of JSON that may be long: with thousands of services writing it takes a while.
pub(super) async fn json<T: Serialize + Send + 'static>(value: T) -> Result<Response, Problem> {
    let written = spawn_blocking(move || serde_json::to_vec(&value)).await;
    let failed = |error: String| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("no JSON: {error}"),
        )
    };
    let text = written.map_err(|error| failed(error.to_string()))?;
    let text = text.map_err(|error| failed(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
