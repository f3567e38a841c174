//! One exchange with the gateway, told line by line.
//!
//! Each line is an object of JSON with `at` (seconds since the request was begun): `connected`, then
//! `status` with `headers`, then `text` as it comes, then `end` with the number of `bytes`; or `error`.

use std::{io, time::Duration};

use axum::body::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc::Sender,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Door, secured};
use crate::worker_http::{Connection, shown};

/// Most bytes of an answer that are shown.
const BYTES_MAX: usize = 1 << 20;

/// Tells the client what happens.
struct Teller {
    lines: Sender<Bytes>,
    begun: Instant,
}

/// The client is gone, or the exchange failed, in words.
enum Over {
    Gone,
    Failed(String),
}

impl Teller {
    async fn tell(&mut self, mut line: Value) -> Result<(), Over> {
        line["at"] = self.begun.elapsed().as_secs_f64().into();
        let sent = self.lines.send(format!("{line}\n").into()).await;
        sent.map_err(|_| Over::Gone)
    }
}

/// Sends the request and tells how it is answered. When the client leaves, the request is broken off.
pub(super) async fn tell(
    door: Door,
    host: &str,
    request: Request<Full<Bytes>>,
    lines: Sender<Bytes>,
    takes_max: Duration,
) {
    let mut teller = Teller {
        lines,
        begun: Instant::now(),
    };
    let client = teller.lines.clone();
    let exchange = timeout(takes_max, exchange(door, host, request, &mut teller));
    // Also while nothing comes that could be told.
    let over = tokio::select! {
        over = exchange => over,
        () = client.closed() => return,
    };
    let error = match over {
        Ok(Ok(()) | Err(Over::Gone)) => return,
        Ok(Err(Over::Failed(error))) => error,
        Err(_) => format!("not finished within {takes_max:?}: broken off"),
    };
    // A client that is gone needs no word.
    let _ = teller.tell(json!({ "error": error })).await;
}

async fn exchange(
    door: Door,
    host: &str,
    request: Request<Full<Bytes>>,
    teller: &mut Teller,
) -> Result<(), Over> {
    let stream = open(door, host)
        .await
        .map_err(|error| Over::Failed(format!("connecting to {}: {error}", door.address)))?;
    teller
        .tell(json!({ "connected": door.address.to_string() }))
        .await?;
    let failed = |error: hyper::Error| Over::Failed(shown(error));
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let mut connection = JoinSet::new();
    connection.spawn(async { drop(driver.await) });
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    let head = json!({
        "status": status.as_u16(),
        "reason": status.canonical_reason(),
        "headers": shown_headers(answer.headers()),
    });
    teller.tell(head).await?;
    let mut body = answer.into_body();
    let (mut bytes, mut rest) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(failed)?;
        if let Some(trailers) = frame.trailers_ref() {
            teller
                .tell(json!({ "trailers": shown_headers(trailers) }))
                .await?;
        }
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = BYTES_MAX - bytes;
        let shown = &data[..data.len().min(room)];
        bytes += shown.len();
        teller
            .tell(json!({ "text": text(&mut rest, shown) }))
            .await?;
        if data.len() > room {
            teller
                .tell(json!({ "end": true, "bytes": bytes, "cut": true }))
                .await?;
            return Ok(());
        }
    }
    teller.tell(json!({ "end": true, "bytes": bytes })).await
}

async fn open(door: Door, host: &str) -> io::Result<Box<dyn Connection>> {
    let stream = TcpStream::connect(door.address).await?;
    stream.set_nodelay(true)?;
    if door.tls {
        return Ok(Box::new(secured::over(stream, host).await?));
    }
    Ok(Box::new(stream))
}

fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers.iter();
    headers
        .map(|(name, value)| (name.to_string(), shown(value)))
        .collect()
}

/// The bytes as text. What may be the beginning of a letter whose end is still to come is kept for the
/// next time.
fn text(rest: &mut Vec<u8>, bytes: &[u8]) -> String {
    rest.extend_from_slice(bytes);
    let whole = match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => rest.len(),
    };
    let text: Vec<u8> = rest.drain(..whole).collect();
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_comes_in_two_pieces_is_one_letter() {
        let mut rest = Vec::new();
        let letter = "ü".as_bytes();
        assert_eq!(text(&mut rest, &[b'a', letter[0]]), "a");
        assert_eq!(text(&mut rest, &[letter[1], b'b']), "üb");
        assert_eq!(text(&mut rest, &[0xff, b'c']), "\u{fffd}c");
    }
}
