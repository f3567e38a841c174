//! A worker's answer on its way to the client of a relayed request.

mod broken;
mod stalled;

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use self::broken::BAD_CHUNKS;
use super::{
    client::{Asking, Client, TOGETHER_MAX},
    sending::Got,
    up::{Sent, Up},
};
use crate::{
    base::{clock::Moment, pace::Taking, reason::Reason, timer::Timer},
    http1::{
        answer::Answer,
        body::{Body, Framing, Passed},
        buffer::{Buffer, with_scratch},
        field::Field,
        request::Request,
        trailers,
        write::{self, Onto},
    },
    route::table::ServiceState,
    serve::admission::Presence,
    settle::exchange::Exchange,
    upstream::raw::{RawConnection, kept_for},
};

/// An answer that is passing.
pub(super) struct Down {
    body: Body,
    onto: Onto,
    /// What came behind the head, and is not looked at yet.
    rest: Buffer,
    /// `None` once it was given back or closed.
    worker: Option<RawConnection>,
    /// Whose clocks count.
    service: Arc<ServiceState>,
    /// What a client takes that is waited for; boxed, because few are.
    taking: Option<Box<Taking>>,
    /// How long the worker's connection may be kept; `None`: it ends with the answer.
    keepalive: Option<Duration>,
    /// Since when the worker, or the client, is being waited for.
    waiting_since: Option<Duration>,
    /// Whether the body has come to its end.
    is_over: bool,
    /// Why it will not.
    broken: Option<Reason>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client has all of it.
    Whole,
    /// It was cut off, so that the client notices.
    CutOff,
    /// The client has gone.
    ClientGone,
}

/// How an answer's body goes on to the client of `request`.
pub(super) fn onto(request: &Request, answer: &Answer) -> Onto {
    match (answer.framing, request.is_old) {
        (Framing::Chunked, true) => Onto::Plain,
        (Framing::UntilClose, false) => Onto::Chunks,
        _ => Onto::AsItIs,
    }
}

impl Down {
    pub(super) fn new(got: Got, onto: Onto, service: Arc<ServiceState>) -> Self {
        let Answer { lines, .. } = &got.answer;
        let timeouts = &service.spec.timeouts;
        let keepalive = match lines.has(Field::KeepAlive) {
            true => kept_for(lines, timeouts.keepalive),
            false => timeouts.keepalive,
        };
        // The head is not needed any more: a stream may last for long.
        Self {
            body: Body::new(got.answer.framing),
            keepalive: got.answer.keeps_alive.then_some(keepalive),
            onto,
            rest: got.rest,
            worker: Some(got.worker),
            service,
            taking: None,
            waiting_since: None,
            is_over: false,
            broken: None,
        }
    }

    /// Passes the answer on, of which the head lies in the client's buffer, and the rest of the request.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        up: &mut Up,
        exchange: &mut Exchange,
        timer: &mut Timer,
    ) -> Poll<Ended> {
        match self.poll_whole(cx, client, up, exchange, timer) {
            Poll::Ready(Ended::CutOff) if self.tells(client, exchange) => {
                self.poll_whole(cx, client, up, exchange, timer)
            }
            ended => ended,
        }
    }

    fn poll_whole(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        up: &mut Up,
        exchange: &mut Exchange,
        timer: &mut Timer,
    ) -> Poll<Ended> {
        let moment = exchange.clock().moment_at(exchange.now());
        if let Some(reason) = exchange.overdue(&moment) {
            return Poll::Ready(self.cut(exchange, reason));
        }
        if let Poll::Ready(ended) = self.poll_down(cx, client, up, exchange, &moment) {
            return Poll::Ready(ended);
        }
        if let Some(worker) = &mut self.worker
            && !up.is_sent()
        {
            match up.poll(cx, client, worker, exchange.connection()) {
                Poll::Ready(Sent::Failed) => {
                    let reason = exchange.upload_failure().unwrap_or(Reason::BadRequest);
                    return Poll::Ready(match reason {
                        Reason::BadRequest if client.has_ended => Ended::ClientGone,
                        reason => self.cut(exchange, reason),
                    });
                }
                Poll::Ready(Sent::Whole | Sent::Refused) | Poll::Pending => {}
            }
        }
        if up.is_over() || client.has_ended {
            if self.onto == Onto::AsItIs && self.body.is_between_chunks() && client.out.is_empty() {
                client.asking = Asking::ByZero;
            } else {
                client.asking = Asking::Not;
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Ended::ClientGone);
            }
        }
        self.poll_stalled(cx, client, exchange, timer, &moment)
    }

    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        up: &mut Up,
        exchange: &mut Exchange,
        moment: &Moment,
    ) -> Poll<Ended> {
        loop {
            // What is here goes out together with the head.
            // Behind its end nothing is looked at: what a worker sends there is nobody's.
            while !self.rest.is_empty() && !self.body.is_over() && client.out.len() < TOGETHER_MAX {
                let rest = std::mem::take(&mut self.rest);
                let used = self.take(rest.bytes(), client, exchange, moment);
                self.rest = rest;
                match used {
                    Ok(used) => self.rest.skip(used),
                    Err(reason) => {
                        return Poll::Ready(self.cut_by(exchange, reason, BAD_CHUNKS));
                    }
                }
            }
            if self.body.is_over() && !self.is_over {
                self.end(up, exchange, moment);
            }
            if !client.out.is_empty() {
                match client.poll_out(cx) {
                    Poll::Ready(Ok(())) => self.client_took_all(),
                    Poll::Ready(Err(_)) => return Poll::Ready(Ended::ClientGone),
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            // TLS may hold back what was written.
            match ready!(client.poll_out(cx)) {
                Err(_) => return Poll::Ready(Ended::ClientGone),
                Ok(()) if self.is_over => return Poll::Ready(Ended::Whole),
                Ok(()) => {}
            }
            match ready!(self.poll_pass(cx, client, exchange, moment)) {
                Ok(()) => {}
                Err(Some(ended)) => return Poll::Ready(ended),
                Err(None) if self.body.is_until_close() => {
                    if self.onto == Onto::Chunks {
                        client.out.push(b"0\r\n\r\n");
                    }
                    self.end(up, exchange, moment);
                }
                Err(None) => {
                    let why = "connection closed in the middle of an answer";
                    return Poll::Ready(self.cut_by(exchange, Reason::UpstreamReset, why));
                }
            }
        }
    }

    /// Reads a piece from the worker and writes it to the client at once, as far as that takes it.
    /// `Err(None)`: the worker's connection has ended.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        exchange: &mut Exchange,
        moment: &Moment,
    ) -> Poll<Result<(), Option<Ended>>> {
        let Some(worker) = &mut self.worker else {
            return Poll::Ready(Err(None));
        };
        ready!(worker.poll_news(cx));
        with_scratch(|scratch| {
            let Some(worker) = &mut self.worker else {
                return Poll::Ready(Err(None));
            };
            let came = match ready!(worker.poll_read(cx, scratch)) {
                Ok(came @ 1..) => came,
                Ok(_) => return Poll::Ready(Err(None)),
                Err(error) => {
                    let text = error.to_string();
                    let ended = self.cut_by(exchange, Reason::UpstreamReset, &text);
                    return Poll::Ready(Err(Some(ended)));
                }
            };
            self.waiting_since = None;
            let bytes = scratch.get(..came).unwrap_or_default();
            Poll::Ready(match self.onto {
                Onto::AsItIs => self.pass(cx, bytes, client, exchange, moment),
                Onto::Plain | Onto::Chunks => self.take_all(bytes, client, exchange, moment),
            })
        })
    }

    /// Passes on a piece of a body that goes on as it came: at once from where it lies, if all of it does.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        client: &mut Client,
        exchange: &mut Exchange,
        moment: &Moment,
    ) -> Result<(), Option<Ended>> {
        let mut data = 0;
        let now = moment.now();
        let passed = match exchange.is_read() {
            false => self.body.pass(bytes, |range| data += range.len()),
            true => self.body.pass(bytes, |range| {
                data += range.len();
                exchange.reads_piece(bytes.get(range).unwrap_or_default(), now);
            }),
        };
        let step = match passed {
            Ok(Passed::Some(step)) => step,
            Ok(Passed::Trailers(taken, lines)) => {
                let passed = self.pass_trailers(&lines, client, exchange);
                passed.map_err(|reason| Some(self.cut_by(exchange, reason, BAD_CHUNKS)))?;
                self.rest.push(bytes.get(taken..).unwrap_or_default());
                return Ok(());
            }
            Err(_) => {
                let ended = self.cut_by(exchange, Reason::UpstreamReset, BAD_CHUNKS);
                return Err(Some(ended));
            }
        };
        exchange.sent(data, moment);
        let (passes, rest) = bytes.split_at_checked(step.forward).unwrap_or_default();
        if !rest.is_empty() {
            // What is behind it may pass on as well, and then leaves together with it.
            client.out.push(passes);
            let rest = rest.get(step.skip..).unwrap_or_default();
            return self.take_all(rest, client, exchange, moment);
        }
        match client.poll_write(cx, passes) {
            Poll::Ready(Ok(written)) => client.out.push(passes.get(written..).unwrap_or_default()),
            Poll::Ready(Err(_)) => return Err(Some(Ended::ClientGone)),
            Poll::Pending => client.out.push(passes),
        }
        Ok(())
    }

    /// Puts what passes on of `bytes` into the client's buffer, and keeps the rest.
    fn take_all(
        &mut self,
        bytes: &[u8],
        client: &mut Client,
        exchange: &mut Exchange,
        moment: &Moment,
    ) -> Result<(), Option<Ended>> {
        match self.take(bytes, client, exchange, moment) {
            Ok(used) => {
                self.rest.push(bytes.get(used..).unwrap_or_default());
                Ok(())
            }
            Err(reason) => Err(Some(self.cut_by(exchange, reason, BAD_CHUNKS))),
        }
    }

    /// Puts what passes on of `bytes` into the client's buffer: how many of them are used.
    fn take(
        &mut self,
        bytes: &[u8],
        client: &mut Client,
        exchange: &mut Exchange,
        moment: &Moment,
    ) -> Result<usize, Reason> {
        let (mut used, mut data) = (0, 0);
        let is_read = exchange.is_read();
        while used < bytes.len() && !self.body.is_over() {
            let rest = bytes.get(used..).unwrap_or_default();
            let (onto, out) = (self.onto, &mut client.out);
            let passed = self.body.pass(rest, |range| {
                data += range.len();
                let piece = rest.get(range).unwrap_or_default();
                if is_read {
                    exchange.reads_piece(piece, moment.now());
                }
                match onto {
                    Onto::AsItIs => {}
                    Onto::Plain => out.push(piece),
                    Onto::Chunks => {
                        write::chunk_size(out.end(), piece.len());
                        out.push(piece);
                        out.push(b"\r\n");
                    }
                }
            });
            match passed.map_err(|_| Reason::UpstreamReset)? {
                Passed::Some(step) => {
                    if onto == Onto::AsItIs {
                        client
                            .out
                            .push(rest.get(..step.forward).unwrap_or_default());
                    }
                    used += step.forward + step.skip;
                }
                Passed::Trailers(taken, lines) => {
                    used += taken;
                    self.pass_trailers(&lines, client, exchange)?;
                }
            }
        }
        exchange.sent(data, moment);
        Ok(used)
    }

    fn pass_trailers(
        &mut self,
        lines: &[u8],
        client: &mut Client,
        exchange: &mut Exchange,
    ) -> Result<(), Reason> {
        let trailers = trailers::read(lines);
        let trailers = trailers.map_err(|_| Reason::UpstreamReset)?;
        if !trailers.is_empty() {
            exchange.trailers(&trailers);
        }
        if self.onto == Onto::AsItIs {
            trailers::write(client.out.end(), &trailers);
        }
        Ok(())
    }

    /// The answer was read to its end: the worker is free at once, whatever time the client takes to read
    /// the rest, and its connection can take another request if it has all of this one.
    fn end(&mut self, up: &Up, exchange: &mut Exchange, moment: &Moment) {
        self.is_over = true;
        self.waiting_since = None;
        let clean = up.is_sent() && self.rest.is_empty();
        exchange.answer_ended(None, moment.now());
        let worker = self.worker.take().filter(|_| clean);
        if let (Some(worker), Some(keepalive)) = (worker, self.keepalive) {
            let upstreams = &exchange.connection().thread.upstreams;
            upstreams.give_back_raw(worker, keepalive, moment.now());
        }
    }

    /// Only the worker is waited for now.
    fn client_took_all(&mut self) {
        self.waiting_since = None;
        if let Some(taking) = &mut self.taking {
            taking.rests();
        }
    }
}
