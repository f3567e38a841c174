//! The connections of one thread, and a request over one of them.

mod pool;

use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};

use self::pool::{Connection, Pool};
use super::{
    endpoint::Endpoint,
    events::Events,
    now,
    requests::Requests,
    tally::{Failure, Tally},
};

/// Sends requests. Of a thread.
pub(super) struct Client {
    pool: Pool,
    requests: Arc<Requests>,
    tally: Arc<Mutex<Tally>>,
    timeout: Duration,
}

impl Client {
    /// At most `connections` at once.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        requests: Arc<Requests>,
        tally: Arc<Mutex<Tally>>,
        connections: usize,
        timeout: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            pool: Pool::new(endpoint, connections),
            requests,
            tally,
            timeout,
        })
    }

    /// Sends the `number`th request, which was due at `due`, and counts what comes of it. All times are
    /// from `due`, so that a request which had to wait here for those before it shows that it waited
    /// (otherwise a target that stalls would look as if it had only been asked less: coordinated omission).
    pub(super) async fn send(&self, number: u64, due: Instant) {
        self.count(|tally| tally.behind.record(due.elapsed()));
        let left = self.timeout.saturating_sub(due.elapsed());
        let exchange = self.exchange(number, due);
        let ended = tokio::time::timeout(left, exchange).await;
        let ended = ended.unwrap_or(Err(Failure::Timeout));
        self.count(|tally| {
            tally.whole.record(due.elapsed());
            match ended {
                Ok(()) => tally.good += 1,
                Err(failure) => tally.fail(failure, 1),
            }
        });
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn exchange(&self, number: u64, due: Instant) -> Result<(), Failure> {
        let (mut connection, answer) = self.answer(self.requests.nth(number)).await?;
        self.count(|tally| tally.first_byte.record(due.elapsed()));
        let (head, body) = answer.into_parts();
        let trailers = self.read(&head.headers, body, due).await?;
        connection.keep();
        let status = head.status.as_u16();
        if status >= 400 {
            return Err(Failure::Status(status));
        }
        if self.requests.is_grpc {
            let status = grpc_status(&trailers).or_else(|| grpc_status(&head.headers));
            match status {
                Some(0) => {}
                // 2: unknown, as clients of gRPC call an answer without status.
                status => return Err(Failure::Grpc(status.unwrap_or(2))),
            }
        }
        Ok(())
    }

    /// Sends a request. One that finds its connection closed by the other side is sent over another, as
    /// every client does: a server may close a connection that lies idle at any time.
    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Connection<'_>, Response<Incoming>), Failure> {
        let mut request = request;
        loop {
            let connection = self.pool.take().await;
            let mut connection = connection.map_err(|_| Failure::Connect)?;
            match connection.send(request).await {
                Ok(answer) => return Ok((connection, answer)),
                Err(Some(back)) if !connection.is_new() => request = back,
                Err(_) => return Err(Failure::Broken),
            }
        }
    }

    /// Reads the answer to its end; its trailers.
    async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Incoming,
        due: Instant,
    ) -> Result<HeaderMap, Failure> {
        let is_stream = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let mut events = is_stream.then(Events::default);
        let mut last = None;
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::Broken)?;
            let piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(frame) => {
                    trailers = frame.into_trailers().unwrap_or_default();
                    continue;
                }
            };
            let tokens = events.as_mut().map_or(0, |events| events.take(&piece));
            self.count(|tally| tally.bytes += piece.len() as u64);
            if tokens > 0 {
                self.count_tokens(tokens, due, &mut last);
            }
        }
        Ok(trailers)
    }

    /// `last`: when the token before came.
    fn count_tokens(&self, tokens: u64, due: Instant, last: &mut Option<Instant>) {
        let now = now();
        self.count(|tally| {
            tally.tokens += tokens;
            match *last {
                None => tally.first_token.record(now - due),
                // Those that came together share the time since the one before.
                Some(last) => tally.between_tokens.record((now - last) / tokens as u32),
            }
        });
        *last = Some(now);
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
