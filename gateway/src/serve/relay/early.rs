//! Reads the body of a relayed request before it takes a place at a worker, into the buffer in which bytes
//! wait for their turn anyway.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{client::Client, up::GO_ON};
use crate::{
    base::{pace::Pace, reason::Reason, timer::Timer},
    http1::{
        body::{Body, Framing, Passed},
        chunked::Malformed,
        request::Request,
    },
    route::table::ServiceState,
    serve::{
        admission::Presence,
        early::{Coming, Wanted, pause_max, too_late},
        failure::{Failure, by_client},
    },
    settle::exchange::Exchange,
    settle::upload::UploadFailure,
};

/// A body of which not all has come.
pub(super) struct Early {
    /// How many bytes it has, if it said so; else where it ends is looked for.
    length: Option<u64>,
    body: Body,
    /// How much of what came was looked at, and how many bytes of the body are in that.
    seen: usize,
    data: u64,
    /// Whether the client waits for a word before it sends any.
    is_awaited: bool,
    pace: Pace,
}

impl Early {
    /// The body of `request`, unless it has none, or all of it is there, or what is there is no body: that is
    /// answered in its turn.
    pub(super) fn of(request: &Request, client: &Client) -> Option<Self> {
        let length = match request.framing {
            Framing::Length(length) if client.ahead.len() as u64 >= length => return None,
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let mut early = Self {
            length,
            body: Body::new(request.framing),
            seen: 0,
            data: 0,
            is_awaited: request.expects_continue,
            pace: Pace::default(),
        };
        let has_more = !request.asks_for_upgrade() && early.is_whole(client) == Ok(false);
        has_more.then_some(early)
    }

    /// Whether the client was told to go on.
    pub(super) fn was_asked(&self, request: &Request) -> bool {
        request.expects_continue && !self.is_awaited
    }

    /// Whether all of it has come.
    fn is_whole(&mut self, client: &Client) -> Result<bool, UploadFailure> {
        let came = client.ahead.bytes();
        if let Some(length) = self.length {
            return Ok(came.len() as u64 >= length);
        }
        while self.seen < came.len() && !self.body.is_over() {
            let rest = came.get(self.seen..).unwrap_or_default();
            let data = &mut self.data;
            let passed = self.body.pass(rest, |range| *data += range.len() as u64);
            self.seen += match passed {
                Ok(Passed::Some(step)) => step.forward + step.skip,
                Ok(Passed::Trailers(taken, _)) => taken,
                Err(Malformed::Framing) => return Err(UploadFailure::Malformed),
                Err(Malformed::TooLong) => return Err(UploadFailure::TrailersTooLong),
            };
        }
        Ok(self.body.is_over())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (exchange, client): (&Exchange, &mut Client),
        service: &ServiceState,
        wanted: &Wanted,
        (since, timer): (&mut Duration, &mut Timer),
    ) -> Poll<Result<(), End>> {
        let spec = &service.spec;
        let rate = spec.timeouts.min_rate();
        loop {
            let is_whole = self.is_whole(client).map_err(End::Failed)?;
            if spec.max_body_bytes.is_some_and(|max| self.data > max) {
                return Poll::Ready(Err(End::Failed(UploadFailure::TooLarge)));
            }
            if is_whole || client.ahead.len() as u64 >= wanted.bytes {
                return Poll::Ready(Ok(()));
            }
            if std::mem::take(&mut self.is_awaited) {
                client.out.push(GO_ON);
            }
            let gone = matches!(client.poll_out(cx), Poll::Ready(Err(_)));
            if gone || client.has_ended {
                return Poll::Ready(Err(End::Failed(UploadFailure::Aborted)));
            }
            let clock = exchange.clock();
            match client.poll_ahead(cx) {
                Poll::Ready(Ok(came)) => {
                    let waited = clock.now().saturating_sub(*since);
                    *since += waited;
                    if self.pace.moved(rate, waited, came as u64) {
                        return Poll::Ready(Err(End::Failed(UploadFailure::TooSlow)));
                    }
                }
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(Err(End::Failed(UploadFailure::Aborted)));
                }
                Poll::Pending => {
                    let (at, end) = self.patience(exchange, service, *since);
                    ready!(timer.poll_until(cx, clock.instant(at)));
                    return Poll::Ready(end);
                }
            }
        }
    }

    /// How long nothing may come, and what follows then.
    fn patience(
        &self,
        exchange: &Exchange,
        service: &ServiceState,
        since: Duration,
    ) -> (Duration, Result<(), End>) {
        let timeouts = &service.spec.timeouts;
        let stalled = (
            since + timeouts.idle,
            Err(End::Failed(UploadFailure::Stalled)),
        );
        let too_slow = self
            .pace
            .ends(timeouts.min_rate(), since)
            .map(|at| (at, Err(End::Failed(UploadFailure::TooSlow))));
        let begins = self
            .length
            .is_none()
            .then(|| (since + pause_max(service), Ok(())));
        let late = exchange
            .deadline
            .map(|(at, reason)| (at, Err(End::Late(reason))));
        let ends = [begins, late, too_slow].into_iter().flatten();
        ends.fold(
            stalled,
            |first, end| if end.0 < first.0 { end } else { first },
        )
    }
}

/// A body that is being read.
pub(super) struct Reading<'c> {
    pub(super) client: &'c mut Client,
    pub(super) early: &'c mut Early,
}

impl Coming for Reading<'_> {
    fn length(&self) -> Option<u64> {
        self.early.length
    }

    fn is_whole(&mut self) -> bool {
        // What is wrong with it is told in its turn.
        self.early.is_whole(self.client) != Ok(false)
    }

    async fn comes(
        &mut self,
        exchange: &mut Exchange,
        service: &ServiceState,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        let clock = exchange.clock();
        let mut timer = Timer::default();
        let mut since = clock.now();
        let came = poll_fn(|cx| {
            let client = (&*exchange, &mut *self.client);
            self.early
                .poll(cx, client, service, wanted, (&mut since, &mut timer))
        });
        let came = came.await;
        exchange.is_ready(clock.now());
        let failure = match came {
            Ok(()) => return Ok(()),
            Err(End::Late(reason)) => return Err(too_late(reason).into()),
            Err(End::Failed(failure)) => failure,
        };
        if let Some(upload) = &exchange.upload {
            upload.read(self.client.ahead.len() as u64, clock.now());
            upload.fails(failure);
        }
        Err(by_client(failure))
    }

    fn presence(&mut self) -> &mut impl Presence {
        &mut *self.client
    }
}

/// Why a request does not begin.
#[derive(Debug, Clone, Copy)]
enum End {
    Failed(UploadFailure),
    Late(Reason),
}
