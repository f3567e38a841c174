//! Ending a connection whose client is still sending.
//!
//! A socket that is closed while bytes lie in it unread is reset, and a reset makes the client
//! lose an answer that it has not read yet. So when a request was answered before its body had
//! come in, the rest is read and thrown away for a while: most clients send all of it first.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Sleep,
};

use crate::base::clock::Clock;

/// A client that sends nothing for so long has noticed.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// One that does not stop by then is cut off.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes thrown away at a time.
const BUFFER: usize = 16 * 1024;

/// A connection that has been ended on our side.
pub(crate) struct Linger {
    clock: Clock,
    until: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Linger {
    /// Begins now.
    pub(crate) fn new(clock: Clock) -> Self {
        let now = clock.now();
        let silence = tokio::time::sleep_until(clock.instant(now + SILENCE_MAX));
        Self {
            clock,
            until: now + TIME_MAX,
            silence: Box::pin(silence),
        }
    }

    /// Ready once the client has ended or been silent, or has had time enough.
    pub(crate) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let mut buffer = [0; BUFFER];
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.silence.as_mut().poll(cx));
                    return Poll::Ready(());
                }
            }
            let now = self.clock.now();
            if now >= self.until {
                return Poll::Ready(());
            }
            let silent = self.until.min(now + SILENCE_MAX);
            self.silence.as_mut().reset(self.clock.instant(silent));
        }
    }
}
