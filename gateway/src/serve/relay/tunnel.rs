//! A relayed connection whose two sides have agreed on another protocol: bytes go both ways.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    client::{Client, read},
    sending::Got,
};
use crate::{
    base::{clock::Clock, timer::Timer},
    http1::buffer::{Buffer, with_scratch},
    settle::exchange::Exchange,
};

/// Once one side has ended, the other may be silent for so long. Without a bound a client that just stays
/// would keep its worker from draining for ever.
const LINGER: Duration = Duration::from_secs(5);

/// One direction of a tunnel.
#[derive(Default)]
struct Way {
    /// Read from one side, and not written to the other yet.
    held: Buffer,
    /// Whether the side it comes from has ended.
    has_ended: bool,
    /// Whether the other side was told so.
    is_closed: bool,
}

/// Moves bytes until both sides have ended, or one is broken. Whether the client can still be told so.
pub(super) async fn run(client: &mut Client, got: Got, exchange: &mut Exchange) -> bool {
    exchange.tunnelled();
    let clock = exchange.clock();
    let mut worker = got.worker;
    let (mut up, mut down) = (Way::default(), Way::default());
    std::mem::swap(&mut up.held, &mut client.ahead);
    up.has_ended = client.has_ended;
    // The head of the answer goes first.
    std::mem::swap(&mut down.held, &mut client.out);
    let head = down.held.len();
    down.held.push(got.rest.bytes());
    let (mut sent, mut timer, mut moved) = (0, Timer::default(), clock.now());
    let relayed = poll_fn(|cx| {
        let upwards = up.poll(cx, &mut client.stream, &mut worker.stream)?;
        let downwards = down.poll(cx, &mut worker.stream, &mut client.stream)?;
        sent += downwards;
        if upwards + downwards > 0 {
            moved = clock.now();
        }
        if up.is_closed && down.is_closed {
            return Poll::Ready(std::io::Result::Ok(()));
        }
        match up.has_ended || down.has_ended {
            true => lingered(cx, &mut timer, clock, moved).map(Ok),
            false => Poll::Pending,
        }
    });
    let whole = relayed.await.is_ok();
    exchange.tunnel_sent(sent.saturating_sub(head));
    whole
}

fn lingered(cx: &mut Context<'_>, timer: &mut Timer, clock: Clock, moved: Duration) -> Poll<()> {
    timer.poll_until(cx, clock.instant(moved + LINGER))
}

impl Way {
    /// Moves what can be moved: how much went out.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<usize, std::io::Error> {
        let mut moved = 0;
        loop {
            match self.poll_step(cx, from, to) {
                Poll::Ready(Ok(0)) | Poll::Pending => return Ok(moved),
                Poll::Ready(Ok(step)) => moved += step,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    /// One read or write; nothing when this direction is over.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<std::io::Result<usize>> {
        if !self.held.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, self.held.bytes()))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.held.skip(written);
            return Poll::Ready(Ok(written));
        }
        if self.has_ended {
            if !self.is_closed {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_closed = true;
            }
            return Poll::Ready(Ok(0));
        }
        // Before more is read, because a stream with TLS may hold back what was written.
        ready!(Pin::new(&mut *to).poll_flush(cx))?;
        let (held, has_ended) = (&mut self.held, &mut self.has_ended);
        let out = with_scratch(|scratch| {
            let came = ready!(read(from, cx, scratch))?;
            *has_ended = came == 0;
            let bytes = scratch.get(..came).unwrap_or_default();
            let written = match came {
                0 => 0,
                _ => match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                },
            };
            held.push(bytes.get(written..).unwrap_or_default());
            Poll::Ready(std::io::Result::Ok((came, written)))
        });
        match ready!(out)? {
            (0, _) => self.poll_step(cx, from, to),
            (_, written @ 1..) => Poll::Ready(Ok(written)),
            // It lies there, and the other side says when it takes it.
            (_, _) => Poll::Pending,
        }
    }
}
