//! A relayed request on its way to a worker, until the head of an answer is there.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use penstock_config::Protocol;

use super::{
    client::Client,
    forward::{Ours, onward},
    up::{Sent, Up},
};
use crate::{
    base::{reason::Reason, refusal::Refusal},
    fleet::worker::WorkerState,
    http1::{
        answer::{Answer, Parsed},
        buffer::{Buffer, with_scratch},
        lines::Lines,
        request::Request,
        write,
    },
    http2::Broken,
    request::request_key::RequestHead,
    serve::{
        admission::Presence,
        attempt::{Destined, Engine},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    upstream::{
        SendError, Wire,
        raw::{Opened, RawConnection},
    },
};

/// Bytes that a worker may send before the head of its answer: thousands of interim answers.
const BEFORE_ANSWER_MAX: usize = 128 * 1024;

/// A request that is being sent.
pub(super) struct Sending<'r> {
    pub(super) client: &'r mut Client,
    pub(super) connection: &'r Arc<Connection>,
    pub(super) request: &'r Request,
    pub(super) ours: Ours<'r>,
    pub(super) up: &'r mut Up,
    /// Where its answer is put.
    pub(super) got: &'r mut Option<Got>,
}

/// The head of an answer, and the connection it came on.
pub(super) struct Got {
    pub(super) answer: Answer,
    /// What came behind the head.
    pub(super) rest: Buffer,
    pub(super) worker: RawConnection,
    /// How long opening the connection took, if it was opened for this.
    pub(super) connect_time: Option<Duration>,
}

/// How a try on one connection ended without an answer.
enum Missed {
    /// Nothing was written: the worker had closed it before.
    Unsent,
    Broken(Broken),
    ClientGone,
}

/// What has come of an answer.
#[derive(Default)]
struct Coming {
    bytes: Buffer,
    /// Bytes of interim answers.
    passed: usize,
}

impl Engine for Sending<'_> {
    type Fields = Lines;

    async fn send(
        &mut self,
        exchange: &Exchange,
        worker: &WorkerState,
        to: Destined<'_>,
        now: Duration,
    ) -> Result<(), SendError> {
        let upstreams = &self.connection.thread.upstreams;
        loop {
            let found = poll_fn(|cx| Poll::Ready(upstreams.take_raw(cx, worker, to.wire, now)));
            let (mut worker_side, connect_time) = match found.await {
                Some(connection) => (connection, None),
                None => {
                    let opened = Box::pin(self.open(exchange, worker, to)).await?;
                    (opened.connection, opened.connect_time)
                }
            };
            let (connection, request, ours) = (self.connection, self.request, self.ours);
            self.up
                .begin(|out| onward(out, exchange, connection, request, ours));
            let mut coming = Coming::default();
            let answered = poll_fn(|cx| self.poll_answer(cx, &mut worker_side, &mut coming));
            match answered.await {
                Ok(answer) => {
                    *self.got = Some(Got {
                        answer,
                        rest: coming.bytes,
                        worker: worker_side,
                        connect_time,
                    });
                    return Ok(());
                }
                Err(Missed::Unsent) if connect_time.is_none() => {}
                Err(Missed::Unsent) => {
                    let text = format!("{} closed a new connection at once", worker.address);
                    return Err(SendError::closed_at_once(text));
                }
                Err(Missed::Broken(broken)) => return Err(SendError::Broken(broken)),
                Err(Missed::ClientGone) => return Err(SendError::ClientGone),
            }
        }
    }

    fn answer(&self) -> Option<(u16, &Lines)> {
        let answer = &self.got.as_ref()?.answer;
        Some((answer.status, &answer.lines))
    }

    fn presence(&mut self) -> &mut impl Presence {
        self.client
    }

    fn see<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        look(&RequestHead::of_bytes(self.connection, self.request))
    }

    fn is_kept(&self) -> bool {
        self.up.is_kept()
    }

    fn rewind(&mut self) -> Result<(), Refusal> {
        *self.got = None;
        match self.up.is_kept() {
            true => Ok(()),
            false => Err(Refusal::new(
                Reason::Internal,
                "a request that was not kept",
            )),
        }
    }

    fn suit(&mut self, wire: &Wire) -> Result<(), Refusal> {
        match wire.protocol {
            Protocol::Http1 => Ok(()),
            // Its service had no workers of HTTP/2 when the request came.
            Protocol::H2 => Err(Refusal::new(
                Reason::NoWorkers,
                "the deployment was replaced by one that speaks another protocol",
            )),
        }
    }
}

impl Sending<'_> {
    /// Opens a connection, unless the client goes meanwhile.
    async fn open(
        &mut self,
        exchange: &Exchange,
        worker: &WorkerState,
        to: Destined<'_>,
    ) -> Result<Opened, SendError> {
        let upstreams = &self.connection.thread.upstreams;
        let timeouts = &to.service.spec.timeouts;
        let entry = exchange.listed.entry();
        tokio::select! {
            biased;
            opened = upstreams.open_raw(worker, to.wire, timeouts, entry) => {
                opened.map_err(SendError::Connect)
            }
            () = poll_fn(|cx| self.client.poll_gone(cx)) => Err(SendError::ClientGone),
        }
    }

    /// Sends, and waits for the head of an answer that is not an interim one.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut RawConnection,
        coming: &mut Coming,
    ) -> Poll<Result<Answer, Missed>> {
        let connection = self.connection;
        let mut sent = self.up.poll(cx, self.client, worker, connection);
        loop {
            match self.poll_head(cx, worker, coming) {
                Poll::Ready(Ok(answer)) if answer.is_interim() => {
                    self.pass_interim(&answer);
                    // What was kept from going on may go on now.
                    sent = self.up.poll(cx, self.client, worker, connection);
                }
                Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                Poll::Ready(Err(missed)) => return Poll::Ready(Err(missed)),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(_)) = self.client.poll_out(cx) {
            return Poll::Ready(Err(Missed::ClientGone));
        }
        match sent {
            // Whoever is still sending is watched by that.
            Poll::Pending if !self.up.is_over() => Poll::Pending,
            Poll::Ready(Sent::Failed) => Poll::Ready(Err(Missed::Broken(Broken::Relayed {
                is_malformed: false,
                text: "the request body ended early".to_owned(),
            }))),
            // A refused body lies unread, and its end is not to be seen.
            Poll::Ready(Sent::Refused) if !self.up.is_over() => Poll::Pending,
            _ => {
                ready!(self.client.poll_gone(cx));
                Poll::Ready(Err(Missed::ClientGone))
            }
        }
    }

    /// Reads the next head that the worker sends.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut RawConnection,
        coming: &mut Coming,
    ) -> Poll<Result<Answer, Missed>> {
        let is_head = self.request.method == http::Method::HEAD;
        loop {
            if !coming.bytes.is_empty() {
                match Answer::parse(coming.bytes.bytes(), is_head) {
                    Parsed::Part => {}
                    Parsed::Whole(answer, length) => {
                        coming.bytes.skip(length);
                        return Poll::Ready(coming.counted(answer, length));
                    }
                    Parsed::Bad(why) => return Poll::Ready(Err(malformed(why))),
                }
            }
            ready!(worker.poll_news(cx));
            let up = &*self.up;
            let read = with_scratch(|scratch| {
                let came = match ready!(worker.poll_read(cx, scratch)) {
                    Ok(came @ 1..) => scratch.get(..came).unwrap_or_default(),
                    Ok(_) => return Poll::Ready(Some(Err(ended(up, coming, None)))),
                    Err(error) => {
                        return Poll::Ready(Some(Err(ended(up, coming, Some(error)))));
                    }
                };
                // Nearly every head comes whole, and is read where it lies.
                if coming.bytes.is_empty()
                    && let Parsed::Whole(answer, length) = Answer::parse(came, is_head)
                {
                    coming.bytes.push(came.get(length..).unwrap_or_default());
                    return Poll::Ready(Some(coming.counted(answer, length)));
                }
                coming.bytes.push(came);
                Poll::Ready(None)
            });
            if let Some(got) = ready!(read) {
                return Poll::Ready(got);
            }
        }
    }

    /// Hands an interim answer on to a client that knows such.
    fn pass_interim(&mut self, answer: &Answer) {
        // Whoever waited for 100 has had it from us.
        if !self.request.is_old && answer.status != 100 {
            write::interim(self.client.out.end(), answer);
        }
    }
}

impl Coming {
    /// Counts a head, of which there may be only so many.
    fn counted(&mut self, answer: Answer, length: usize) -> Result<Answer, Missed> {
        self.passed += length;
        match answer.is_interim() && self.passed > BEFORE_ANSWER_MAX {
            true => Err(malformed("the worker sends interim answers without end")),
            false => Ok(answer),
        }
    }
}

/// The connection ended before there was an answer.
fn ended(up: &Up, coming: &Coming, error: Option<std::io::Error>) -> Missed {
    if !up.has_begun {
        return Missed::Unsent;
    }
    let text = match error {
        Some(error) => error.to_string(),
        None if coming.bytes.is_empty() => "connection closed before an answer came".to_owned(),
        None => "connection closed in the middle of an answer's head".to_owned(),
    };
    Missed::Broken(Broken::Relayed {
        is_malformed: false,
        text,
    })
}

fn malformed(why: &str) -> Missed {
    Missed::Broken(Broken::Relayed {
        is_malformed: true,
        text: why.to_owned(),
    })
}
