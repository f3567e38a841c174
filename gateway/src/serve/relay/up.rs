//! The body of a relayed request on its way to the worker: passed on as it comes, checked, counted, kept for
//! another try, and shown to a copy.

mod stalled;

use std::{
    ops::Range,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{
    client::{Client, TOGETHER_MAX},
    kept::Kept,
};
use crate::{
    base::{pace::Pace, timer::Timer},
    count::metrics::Dropped,
    http1::{
        body::{Body, Passed},
        buffer::{Buffer, with_scratch},
        chunked::Malformed,
        request::Request,
        trailers,
    },
    route::table::ServiceState,
    settle::upload::{Upload, UploadFailure},
    socket::connection::Connection,
    stream::copied_body::Tee,
    upstream::raw::RawConnection,
};

/// A request's body.
pub(super) struct Up {
    body: Body,
    /// To be written to the worker.
    pub(super) out: Buffer,
    /// The account of it; `None`: there is no body.
    pub(super) upload: Option<Arc<Upload>>,
    /// Whose bounds and clocks count; `None`: no worker gets it.
    service: Option<Arc<ServiceState>>,
    /// Whether the client may be silent for as long as it likes.
    is_conversation: bool,
    pace: Pace,
    /// What was passed on of it, from its beginning, if it is kept.
    kept: Option<Kept>,
    tee: Option<Tee>,
    /// Since when the client is being waited for.
    waiting_since: Option<Duration>,
    timer: Timer,
    /// Whether the client waits for a word before it sends any.
    is_awaited: bool,
    /// Whether the worker takes no more.
    is_refused: bool,
    /// Whether anything was written to this worker.
    pub(super) has_begun: bool,
}

/// How sending goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it.
    Whole,
    /// The worker takes no more, and may say why.
    Refused,
    /// The body will not come to its end.
    Failed,
}

impl Up {
    /// The body of `request` to `service`.
    #[inline]
    pub(super) fn new(
        request: &Request,
        upload: Option<Arc<Upload>>,
        service: Arc<ServiceState>,
        is_conversation: bool,
        tee: Option<Tee>,
    ) -> Self {
        Self {
            upload,
            service: Some(service),
            is_conversation,
            tee,
            ..Self::unsent(request)
        }
    }

    /// One that no worker gets.
    #[inline]
    pub(super) fn unsent(request: &Request) -> Self {
        Self {
            body: Body::new(request.framing),
            out: Buffer::default(),
            upload: None,
            service: None,
            is_conversation: false,
            pace: Pace::default(),
            kept: None,
            tee: None,
            waiting_since: None,
            timer: Timer::default(),
            is_awaited: request.expects_continue,
            is_refused: false,
            has_begun: false,
        }
    }

    /// The client knows already that its body is wanted.
    pub(super) fn was_asked(&mut self) {
        self.is_awaited = false;
    }

    /// Keeps the body for another try, unless it is known to be longer than `max` bytes.
    pub(super) fn keep(&mut self, max: u64) {
        if self.body.left().is_none_or(|left| left <= max) {
            self.kept = Some(Kept::up_to(max));
        }
    }

    /// Whether the body can be sent again from its beginning.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.as_ref().is_some_and(Kept::is_whole)
    }

    /// There is an answer now: the rest of the body needs no copy.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// Begins to send to a worker: the head that `write` writes, and what was sent to others of the body.
    /// What was meant for a worker that took nothing of it is still there.
    pub(super) fn begin(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.is_refused = false;
        if !self.out.is_empty() && !self.has_begun {
            return;
        }
        self.has_begun = false;
        self.out.clear();
        write(self.out.end());
        if let Some(kept) = &self.kept {
            self.out.push(kept.bytes());
        }
    }

    /// Whether all of it was read from the client.
    pub(super) fn is_over(&self) -> bool {
        self.body.is_over()
    }

    /// Whether all of it was written to the worker.
    pub(super) fn is_sent(&self) -> bool {
        self.body.is_over() && self.out.is_empty() && !self.is_refused
    }

    /// Nobody reads the rest of it.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
        if self.has_begun {
            self.out.clear();
        }
    }

    /// Passes over what has come of a body that nobody wants: whether that is all.
    pub(super) fn skip(&mut self, ahead: &mut Buffer) -> bool {
        while !self.body.is_over() && !ahead.is_empty() {
            match self.body.pass(ahead.bytes(), |_| {}) {
                Ok(Passed::Some(step)) => ahead.skip(step.forward + step.skip),
                Ok(Passed::Trailers(taken, _)) => ahead.skip(taken),
                Err(_) => return false,
            }
        }
        self.body.is_over()
    }

    /// Sends what there is, and what comes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        worker: &mut RawConnection,
        connection: &Connection,
    ) -> Poll<Sent> {
        loop {
            if self.is_refused {
                return Poll::Ready(Sent::Refused);
            }
            // What has come already leaves together with the head.
            if !client.ahead.is_empty() && !self.is_over() && self.out.len() < TOGETHER_MAX {
                self.waiting_since = None;
                match self.take(client.ahead.bytes(), connection.now()) {
                    Ok(used) => client.ahead.skip(used),
                    Err(Failed) => return Poll::Ready(Sent::Failed),
                }
                continue;
            }
            if !self.out.is_empty() {
                match ready!(worker.poll_write(cx, self.out.bytes())) {
                    Ok(written @ 1..) => {
                        self.has_begun = true;
                        self.out.skip(written);
                        self.moves(connection);
                    }
                    Ok(0) | Err(_) => self.refuse(),
                }
                continue;
            }
            if worker.poll_flush(cx).is_pending() && self.is_over() {
                return Poll::Pending;
            }
            if self.is_over() {
                return Poll::Ready(Sent::Whole);
            }
            if client.has_ended {
                return Poll::Ready(self.fail(UploadFailure::Aborted));
            }
            if std::mem::take(&mut self.is_awaited) {
                // Now that somebody wants the body. What we refuse ourselves comes without this word.
                client.out.push(GO_ON);
            }
            match self.poll_pass(cx, client, worker, connection) {
                Poll::Ready(Some(sent)) => return Poll::Ready(sent),
                Poll::Ready(None) => {}
                Poll::Pending => return self.poll_stalled(cx, connection),
            }
        }
    }

    /// Reads a piece from the client and writes it to the worker at once, as far as that takes it.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        worker: &mut RawConnection,
        connection: &Connection,
    ) -> Poll<Option<Sent>> {
        with_scratch(|scratch| {
            let came = match ready!(client.poll_read(cx, scratch)) {
                Ok(came @ 1..) => came,
                Ok(_) => {
                    client.has_ended = true;
                    return Poll::Ready(None);
                }
                Err(_) => return Poll::Ready(Some(self.fail(UploadFailure::Aborted))),
            };
            if let Some(since) = self.waiting_since.take()
                && self.is_paced()
            {
                let waited = connection.now().saturating_sub(since);
                let rate = self.rate();
                if self.pace.moved(rate, waited, came as u64) {
                    return Poll::Ready(Some(self.fail(UploadFailure::TooSlow)));
                }
            }
            let bytes = scratch.get(..came).unwrap_or_default();
            let passes = self.body.left().is_some_and(|left| left >= came as u64);
            let taken = match passes && self.kept.is_none() {
                true => self.pass_whole(cx, bytes, worker, connection),
                false => self.take(bytes, connection.now()),
            };
            match taken {
                Ok(taken) => {
                    client.ahead.push(bytes.get(taken..).unwrap_or_default());
                    Poll::Ready(None)
                }
                Err(Failed) => Poll::Ready(Some(Sent::Failed)),
            }
        })
    }

    /// Passes on a piece that is the body's from its first to its last byte.
    fn pass_whole(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        worker: &mut RawConnection,
        connection: &Connection,
    ) -> Result<usize, Failed> {
        self.pass(bytes, connection.now())?;
        match worker.poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => self.out.push(bytes.get(written..).unwrap_or_default()),
            Poll::Ready(Err(_)) => self.refuse(),
            Poll::Pending => self.out.push(bytes),
        }
        Ok(bytes.len())
    }

    /// Puts what passes on of `bytes` into `out`: how many of them are used.
    fn take(&mut self, bytes: &[u8], now: Duration) -> Result<usize, Failed> {
        let mut used = 0;
        while used < bytes.len() && !self.body.is_over() {
            let rest = bytes.get(used..).unwrap_or_default();
            match self.pass(rest, now)? {
                Passed::Some(step) => {
                    let passes = rest.get(..step.forward).unwrap_or_default();
                    self.out.push(passes);
                    if let Some(kept) = &mut self.kept {
                        kept.push(passes);
                    }
                    used += step.forward + step.skip;
                }
                Passed::Trailers(taken, lines) => {
                    let trailers = trailers::read(&lines);
                    let trailers = trailers.map_err(|_| self.fails(UploadFailure::Malformed))?;
                    if let Some(tee) = &self.tee
                        && !trailers.is_empty()
                    {
                        tee.push_trailers(&trailers);
                    }
                    trailers::write(self.out.end(), &trailers);
                    // Trailers of a request are too rare to be worth a copy.
                    if let Some(kept) = &mut self.kept {
                        match trailers.is_empty() {
                            true => kept.push(b"\r\n"),
                            false => kept.lose(),
                        }
                    }
                    used += taken;
                    self.ended();
                }
            }
        }
        Ok(used)
    }

    /// Looks at a piece of the body.
    fn pass(&mut self, bytes: &[u8], now: Duration) -> Result<Passed, Failed> {
        let mut read = 0;
        let tee = self.tee.as_ref();
        let passed = self.body.pass(bytes, |range: Range<usize>| {
            read += range.len() as u64;
            if let Some(tee) = tee {
                tee.push_data(bytes.get(range).unwrap_or_default());
            }
        });
        let passed = passed.map_err(|malformed| {
            self.fails(match malformed {
                Malformed::Framing => UploadFailure::Malformed,
                Malformed::TooLong => UploadFailure::TrailersTooLong,
            })
        })?;
        if let Some(upload) = &self.upload
            && upload.read(read, now) > self.max_bytes()
        {
            return Err(self.fails(UploadFailure::TooLarge));
        }
        if self.body.is_over() && matches!(passed, Passed::Some(_)) {
            self.ended();
        }
        Ok(passed)
    }

    fn ended(&mut self) {
        if let Some(upload) = &self.upload {
            upload.end();
        }
        if let Some(tee) = &self.tee {
            tee.complete();
        }
    }

    fn moves(&self, connection: &Connection) {
        if let Some(upload) = &self.upload {
            upload.moves(connection.now());
        }
    }

    fn fail(&mut self, failure: UploadFailure) -> Sent {
        self.fails(failure);
        Sent::Failed
    }

    fn fails(&mut self, failure: UploadFailure) -> Failed {
        self.refuse();
        if let Some(upload) = &self.upload {
            upload.fails(failure);
        }
        if let Some(tee) = &self.tee
            && failure == UploadFailure::Aborted
        {
            tee.fail(Dropped::ClientGone);
        }
        Failed
    }
}

/// The body will not come to its end.
#[derive(Debug, Clone, Copy)]
struct Failed;

/// What a client waits for that asked whether its body is wanted (RFC 9110 §10.1.1).
pub(super) const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
