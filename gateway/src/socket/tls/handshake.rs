//! From an accepted connection to one with TLS, or to a word of why not.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{HELLO, Outcome};
use crate::socket::{io::ReadAhead, read_through::ReadThrough};

/// A connection of which a part was read before TLS begins.
pub(crate) type Upfront = ReadThrough<TcpStream, ReadAhead>;

/// A client's connection once it is secured.
pub(crate) type TlsClient = TlsStream<Upfront>;

/// Bytes read at a time of what is not TLS.
const CHUNK: usize = 1024;

/// Who sent HTTP to this port gets this answer, and then so long to read it.
const LINGER: Duration = Duration::from_secs(1);

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    x-penstock-reason: bad_request\r\n\
    connection: close\r\n\
    content-length: 83\r\n\r\n\
    This port speaks HTTPS, and the request came by plain HTTP: write https:// instead.";

/// Why there is no TLS connection.
pub(crate) struct Failed {
    /// The kind, for counting.
    pub(crate) outcome: Outcome,
    /// What happened, for people.
    pub(crate) error: String,
}

impl Failed {
    fn new(outcome: Outcome, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { outcome, error }
    }
}

/// Secures a connection within `limit`. rustls bounds what a client may send for that (64 KiB for a
/// message).
pub(crate) async fn handshake(
    upfront: Upfront,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<Box<TlsClient>, Failed> {
    match timeout(limit, secure(upfront, config)).await {
        Ok(secured) => secured,
        Err(_) => Err(Failed::new(Outcome::Timeout, "not done in time")),
    }
}

async fn secure(mut upfront: Upfront, config: Arc<ServerConfig>) -> Result<Box<TlsClient>, Failed> {
    if upfront.reader.bytes().is_empty() {
        let mut chunk = [0; CHUNK];
        let read = upfront.stream.read(&mut chunk).await;
        match read.map_err(|error| Failed::new(Outcome::Closed, error.to_string()))? {
            0 => {
                return Err(Failed::new(
                    Outcome::Closed,
                    "closed before a byte was sent",
                ));
            }
            read => upfront.reader.add(&chunk[..read]),
        }
    }
    match upfront.reader.bytes().first() {
        Some(&HELLO) => {}
        Some(first) if first.is_ascii_alphabetic() => {
            explain(&mut upfront).await;
            let error = "it speaks plain HTTP";
            return Err(Failed::new(Outcome::PlainHttp, error));
        }
        _ => return Err(Failed::new(Outcome::Malformed, "it does not speak TLS")),
    }
    let accepted = TlsAcceptor::from(config).accept(upfront).await;
    accepted
        .map(Box::new)
        .map_err(|error| Failed::new(Outcome::of(&error), error.to_string()))
}

/// Tells a client that speaks plain HTTP what to do. What it still sends is read, because closing a
/// socket with unread bytes would take the answer away from it.
async fn explain(upfront: &mut Upfront) {
    let stream = &mut upfront.stream;
    let told = async {
        stream.write_all(PLAIN_HTTP).await?;
        stream.shutdown().await?;
        let mut rest = [0; CHUNK];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that is gone or does not end is not told any more.
    let _ = timeout(LINGER, told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
