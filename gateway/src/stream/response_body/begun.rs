//! An answer that begins before there is a worker for it, so that its client does not give up: the head of a
//! stream of events, and keep-alives until the worker's own stream follows. What fails then can be told by an
//! event alone.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::{Body as _, Frame};
use serde_json::Value;

use super::{CutOff, DownstreamBody, FrameResult};
use crate::{
    base::{clock::Clock, dialect::Dialect, headers::RequestId, reason::Reason, timer::Timer},
    http2::{Passing as _, Taken},
};

/// How often a client hears that it is not forgotten.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes of an answer that is told as an error event.
const ERROR_MAX: usize = 64 * 1024;

/// The answer that is to come; `None`: nobody is there to get it.
pub(crate) type Coming = Pin<Box<dyn Future<Output = Option<Response<DownstreamBody>>> + Send>>;

/// The body of an answer that has begun.
pub(crate) struct Begun {
    dialect: Dialect,
    /// By which the client may ask about an error.
    id: Option<RequestId>,
    clock: Clock,
    state: State,
    /// When the next keep-alive is due.
    next: Duration,
    timer: Timer,
    /// The last bytes of the worker's stream, as many as tell whether an event ends there.
    tail: [u8; 3],
    /// What the client has taken, of keep-alives too.
    taken: Arc<Taken>,
}

enum State {
    Waits(Coming),
    /// The worker's stream.
    Follows(DownstreamBody),
    /// What is no stream, read to its end.
    Fails(DownstreamBody, Vec<u8>, StatusCode),
    Over,
}

/// The head of a stream of events that goes on for a while.
pub(crate) fn begin(headers: HeaderMap, begun: Begun) -> Response<DownstreamBody> {
    let mut response = Response::new(DownstreamBody::Begun(Box::new(begun)));
    *response.headers_mut() = headers;
    response
}

impl Begun {
    /// One that waits for this answer, and says so at once.
    pub(crate) fn new(
        (dialect, id): (Dialect, Option<RequestId>),
        clock: Clock,
        coming: Coming,
    ) -> Self {
        Self {
            dialect,
            id,
            clock,
            state: State::Waits(coming),
            next: Duration::ZERO,
            timer: Timer::default(),
            tail: *b"\n\n\n",
            taken: Arc::default(),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<FrameResult> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Waits(coming) => match coming.as_mut().poll(cx) {
                    Poll::Pending => return self.poll_keep_alive(cx),
                    Poll::Ready(None) => self.state = State::Over,
                    Poll::Ready(Some(answer)) => self.comes(answer),
                },
                State::Follows(body) => {
                    let frame = ready!(Pin::new(body).poll_frame(cx));
                    return Poll::Ready(match frame {
                        Some(Err(CutOff(reason))) => Some(Ok(self.breaks_off(reason))),
                        None => {
                            self.state = State::Over;
                            None
                        }
                        piece => {
                            if let Some(data) =
                                piece.as_ref().and_then(|p| p.as_ref().ok()?.data_ref())
                            {
                                self.tail = tail_of(self.tail, data);
                            }
                            piece
                        }
                    });
                }
                State::Fails(body, text, status) => {
                    let frame = ready!(Pin::new(body).poll_frame(cx));
                    let data = frame.and_then(Result::ok).and_then(|f| f.into_data().ok());
                    match data {
                        Some(data) if text.len() + data.len() <= ERROR_MAX => {
                            text.extend_from_slice(&data);
                        }
                        _ => {
                            let event = self.dialect.error_event(text, *status, self.id.as_ref());
                            self.state = State::Over;
                            return Poll::Ready(Some(Ok(Frame::data(event))));
                        }
                    }
                }
            }
        }
    }

    /// There is an answer: what follows of it, or what it is told as.
    fn comes(&mut self, answer: Response<DownstreamBody>) {
        let (parts, body) = answer.into_parts();
        if let DownstreamBody::Streamed(slot) = &body {
            slot.lock().taken = Arc::clone(&self.taken);
        }
        self.state = match parts.status.is_success() && is_stream(&parts.headers) {
            true => State::Follows(body),
            false => State::Fails(body, Vec::new(), parts.status),
        };
    }

    /// The worker's stream has broken: the event that says so is the last one.
    fn breaks_off(&mut self, reason: Reason) -> Frame<Bytes> {
        self.state = State::Over;
        let event = self
            .dialect
            .event_of(reason, reason.title(), self.id.as_ref());
        match self.tail {
            [_, b'\n', b'\n'] | [b'\n', b'\r', b'\n'] | [_, b'\r', b'\r'] => Frame::data(event),
            // An event that has begun would swallow this one.
            _ => Frame::data([b"\n\n", &*event].concat().into()),
        }
    }

    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<FrameResult> {
        if self.next > Duration::ZERO {
            ready!(self.timer.poll_until(cx, self.clock.instant(self.next)));
        }
        self.next = self.clock.now() + KEEP_ALIVE;
        let event = Bytes::from_static(self.dialect.keep_alive());
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Follows(body) => body.poll_ahead(cx),
            _ => Poll::Pending,
        }
    }

    pub(super) fn taken(&self) -> Arc<Taken> {
        Arc::clone(&self.taken)
    }
}

/// The last bytes, when these have come behind those.
fn tail_of(before: [u8; 3], data: &[u8]) -> [u8; 3] {
    let [_, second, third] = before;
    match *data {
        [] => before,
        [a] => [second, third, a],
        [a, b] => [third, a, b],
        [.., a, b, c] => [a, b, c],
    }
}

/// Whether an answer is a stream of events that can be read as it is: its client was told of no compression.
fn is_stream(headers: &HeaderMap) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(EVENTS))
        && headers.get_all(CONTENT_ENCODING).iter().all(is_plain)
}

impl Dialect {
    /// The event that tells an answer which is no stream: an error in the API's own form, as it came; another
    /// error with its status and its words; or one that says what came.
    fn error_event(self, answer: &[u8], status: StatusCode, id: Option<&RequestId>) -> Bytes {
        let body = serde_json::from_slice::<Value>(answer).unwrap_or_default();
        if body.get("error").is_some() {
            // An event's data has one line.
            return match str::from_utf8(answer) {
                Ok(text) if !text.contains(['\r', '\n']) => self.event(text),
                _ => self.event(&body.to_string()),
            };
        }
        if !status.is_client_error() && !status.is_server_error() {
            let detail = "the worker did not answer by a stream of events";
            return self.event_of(Reason::BadUpstreamResponse, detail, id);
        }
        let message = match body.get("message").or_else(|| body.get("detail")) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => format!("the worker answered {status}"),
        };
        self.event_for(status, &message, id)
    }
}
