//! The client's side of a relayed connection: what was read of it and not used yet, what is still to be
//! written, and whether anybody is there.

use std::{
    future::poll_fn,
    io,
    os::fd::RawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    http1::{
        buffer::{Buffer, with_scratch},
        request::{Bounds, Fault, Parsed, Request},
    },
    serve::admission::Presence,
    settle::upload::Upload,
    socket::{
        client_gone::{client_gone, client_reset},
        connection::Connection,
        io::ClientStream,
    },
};

/// Bytes that are read ahead of a request's turn. They are read to see whether a client leaves behind them.
const AHEAD_MAX: usize = 64 * 1024;

/// Bytes that are gathered, for either side, before they are written.
pub(super) const TOGETHER_MAX: usize = 64 * 1024;

/// What a client is asked that has ended its side, and may have gone: whoever is there passes over it
/// (RFC 9110 §15.2), and the machine of one that has gone says so.
const ARE_YOU_THERE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The client's side of a connection.
pub(super) struct Client {
    pub(super) stream: ClientStream,
    fd: RawFd,
    /// Read and not used yet.
    pub(super) ahead: Buffer,
    /// Whether what comes wakes its task.
    waits: bool,
    /// Whether it will send no more.
    pub(super) has_ended: bool,
    /// To be written.
    pub(super) out: Buffer,
    /// How it may be asked whether it is there.
    pub(super) asking: Asking,
    /// What is watched where reading does not tell: boxed, because it is rare.
    watched: Option<Watched>,
    /// The account of its last request's body: memory for the next one.
    pub(super) last_upload: Option<Arc<Upload>>,
}

/// What is watched beside the bytes that come.
enum Watched {
    /// Whether it ends its side, behind bytes that nobody reads.
    End(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Whether its machine says that nobody is there.
    Reset(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// How a client that has ended its side may be asked whether it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// By an interim answer: no answer has begun.
    ByInterim,
    /// By a zero in front of the next chunk's size, which changes nothing.
    ByZero,
    /// Not at all, or it was asked.
    Not,
}

/// Why there is no next request.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The connection has ended, or broken.
    Ended,
    /// What came is not passed on.
    Bad(Fault),
}

impl Client {
    pub(super) fn new(stream: ClientStream, fd: RawFd, read: &[u8]) -> Self {
        let mut ahead = Buffer::default();
        ahead.push(read);
        Self {
            stream,
            fd,
            ahead,
            waits: false,
            has_ended: false,
            out: Buffer::default(),
            asking: Asking::Not,
            watched: None,
            last_upload: None,
        }
    }

    /// The account of a request's body.
    pub(super) fn upload(&mut self, connection: &Arc<Connection>) -> Arc<Upload> {
        let last = self.last_upload.take().and_then(Upload::after);
        last.unwrap_or_else(|| Arc::new(Upload::begin(connection)))
    }

    /// Reads the next request's head.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        bounds: Bounds,
    ) -> Poll<Result<Request, NoHead>> {
        if !self.ahead.is_empty()
            && let Some(parsed) = take_head(&mut self.ahead, connection, bounds)
        {
            return Poll::Ready(parsed);
        }
        loop {
            if self.has_ended {
                return Poll::Ready(Err(NoHead::Ended));
            }
            ready!(self.stream.poll_news(&mut self.waits, cx));
            let (stream, waits, ahead) = (&mut self.stream, &mut self.waits, &mut self.ahead);
            let read = with_scratch(|scratch| {
                let read = ready!(stream.poll_next(waits, cx, scratch));
                let Ok(read @ 1..) = read else {
                    return Poll::Ready(None);
                };
                let came = scratch.get_mut(..read).unwrap_or_default();
                // Nearly every head comes whole, and is read where it lies.
                let parsed = match ahead.is_empty() {
                    true => parse(came, connection, bounds),
                    false => Err(0),
                };
                let (parsed, used) = match parsed {
                    Ok((parsed, used)) => (Some(parsed), used),
                    Err(skipped) => (None, skipped),
                };
                ahead.push(came.get(used..).unwrap_or_default());
                Poll::Ready(Some(parsed.or_else(|| {
                    // What was just looked at is not looked at twice.
                    (ahead.len() != came.len() - used)
                        .then(|| take_head(ahead, connection, bounds))
                        .flatten()
                })))
            });
            match ready!(read) {
                None => self.has_ended = true,
                Some(Some(parsed)) => return Poll::Ready(parsed),
                Some(None) => {}
            }
        }
    }

    /// Reads what comes into `ahead`, unless there is a lot of it already: whether anything came.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.has_ended {
            return Poll::Ready(Ok(0));
        }
        if self.ahead.len() >= AHEAD_MAX {
            return Poll::Pending;
        }
        ready!(self.stream.poll_news(&mut self.waits, cx));
        self.poll_ahead(cx)
    }

    /// Reads what comes into `ahead`.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (stream, waits, ahead) = (&mut self.stream, &mut self.waits, &mut self.ahead);
        let came = ready!(with_scratch(|scratch| {
            let read = ready!(stream.poll_next(waits, cx, scratch));
            if let Ok(read) = read {
                ahead.push(scratch.get(..read).unwrap_or_default());
            }
            Poll::Ready(read)
        }));
        self.has_ended = matches!(came, Ok(0));
        Poll::Ready(came)
    }

    /// Reads what comes, for which nothing may lie in `ahead`: how much; 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_next(&mut self.waits, cx, room)
    }

    /// Writes some bytes, for which nothing may lie in `out`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_now(cx, bytes)
    }

    /// Writes what is in `out`.
    #[inline]
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.out.is_empty() && !self.stream.holds_back() {
            true => Poll::Ready(Ok(())),
            false => self.poll_all_out(cx),
        }
    }

    fn poll_all_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(self.stream.poll_write_now(cx, self.out.bytes()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.skip(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes everything.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_out(cx)).await
    }
}

/// Reads into `scratch`: how much; 0 at the end.
pub(super) fn read(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    scratch: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(scratch);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Takes the next head out of what was read, if it is whole or bad.
fn take_head(
    ahead: &mut Buffer,
    connection: &Connection,
    bounds: Bounds,
) -> Option<Result<Request, NoHead>> {
    match parse(ahead.bytes_mut(), connection, bounds) {
        Ok((parsed, used)) => {
            ahead.skip(used);
            Some(parsed)
        }
        Err(skipped) => {
            ahead.skip(skipped);
            None
        }
    }
}

/// Reads the head that `bytes` begin with, and how many bytes it takes; or how many empty lines to pass over
/// before it.
fn parse(
    bytes: &mut [u8],
    connection: &Connection,
    bounds: Bounds,
) -> Result<(Result<Request, NoHead>, usize), usize> {
    let mut skipped = 0;
    // Some clients end a body with a line of their own (RFC 9112 §2.2).
    while let Some([b'\r', b'\n', ..]) = bytes.get(skipped..) {
        skipped += 2;
    }
    let head = bytes.get_mut(skipped..).unwrap_or_default();
    if head.is_empty() || head == b"\r" {
        return Err(skipped);
    }
    match Request::parse(head, bounds) {
        Parsed::Part => {
            connection.bytes_read();
            Err(skipped)
        }
        Parsed::Whole(request, length) => Ok((Ok(request), skipped + length)),
        Parsed::Bad(fault) => Ok((Err(NoHead::Bad(fault)), skipped)),
    }
}

impl Presence for Client {
    /// Reads on to see whether the client leaves. One that only ended its side (`shutdown`) looks like one
    /// that has gone until something is written to it: so it is asked, where there is a way.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.watched {
                Some(Watched::Reset(reset)) => {
                    if reset.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    return match self.poll_out(cx) {
                        Poll::Ready(Err(_)) => Poll::Ready(()),
                        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                    };
                }
                Some(Watched::End(end)) => {
                    ready!(end.as_mut().poll(cx));
                    ready!(self.ask());
                }
                None if self.has_ended => ready!(self.ask()),
                None if self.ahead.len() >= AHEAD_MAX => {
                    self.watched = Some(Watched::End(Box::pin(client_gone(self.fd))));
                }
                None => {
                    if ready!(self.poll_more(cx)).is_err() {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

impl Client {
    /// Asks the client whether it is there, if there is a way.
    fn ask(&mut self) -> Poll<()> {
        match self.asking {
            Asking::ByInterim => self.out.push(ARE_YOU_THERE),
            Asking::ByZero => self.out.push(b"0"),
            Asking::Not => return Poll::Pending,
        }
        self.asking = Asking::Not;
        self.watched = Some(Watched::Reset(Box::pin(client_reset(self.fd))));
        Poll::Ready(())
    }

    /// A request of it is over: what was watched during that is watched no more.
    pub(super) fn is_at_rest(&mut self) {
        self.watched = None;
    }
}
