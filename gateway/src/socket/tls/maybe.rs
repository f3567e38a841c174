//! The bytes of a connection, with or without TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    task::coop::has_budget_remaining,
};

/// A connection to a client or to a worker.
pub(crate) enum MaybeTls<P, T> {
    /// Without TLS.
    Plain(P),
    /// With TLS. Boxed, because it is large and most connections have none.
    Tls(Box<T>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> MaybeTls<TcpStream, T> {
    /// As `poll_read`, for a task that reads again and again: how much was read; 0 at the end.
    ///
    /// `waits` is theirs, and says whether the task will be woken by what comes next. To ask for that anew
    /// takes a lock; as long as it does, a look whether anything came will do.
    pub(crate) fn poll_next(
        &mut self,
        waits: &mut bool,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if *waits && !self.has_news() {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(room);
        let polled = Pin::new(self).poll_read(cx, &mut buffer);
        // A task that has had enough of its turn is told to wait, and woken at once, not by what comes.
        *waits = polled.is_pending() && has_budget_remaining();
        polled.map(|read| read.map(|()| buffer.filled().len()))
    }

    /// Ready when a read may find something; else the task will be woken once one may. `waits` is as for
    /// [`Self::poll_next`].
    pub(crate) fn poll_news(&mut self, waits: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        if *waits {
            if !self.has_news() {
                return Poll::Pending;
            }
            *waits = false;
            return Poll::Ready(());
        }
        let Self::Plain(stream) = self else {
            return Poll::Ready(());
        };
        // What is wrong with it a read will tell.
        let polled = stream.poll_read_ready(cx).map(drop);
        *waits = polled.is_pending() && has_budget_remaining();
        polled
    }

    /// Whether what was written may lie here until it is flushed.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether anything may have come since the last read that found nothing.
    pub(crate) fn has_news(&self) -> bool {
        let Self::Plain(stream) = self else {
            return true;
        };
        let mut has_news = false;
        // It is asked only where something came.
        let _ = stream.try_io(Interest::READABLE, || {
            has_news = true;
            Ok(())
        });
        has_news
    }

    /// As `poll_write`, but tries first whether there is room, as there nearly always is.
    pub(crate) fn poll_write_now(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Self::Plain(stream) = self {
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        Pin::new(self).poll_write(cx, bytes)
    }
}

impl<P: AsyncRead + Unpin, T: AsyncRead + Unpin> AsyncRead for MaybeTls<P, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl<P: AsyncWrite + Unpin, T: AsyncWrite + Unpin> AsyncWrite for MaybeTls<P, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncWriteExt,
        net::TcpListener,
        task::coop::{has_budget_remaining, poll_proceed},
    };

    use super::*;

    async fn pair() -> (MaybeTls<TcpStream, TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (MaybeTls::Plain(ours.unwrap()), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn whoever_waits_only_looks_and_is_woken_by_what_comes() {
        let (mut ours, mut theirs) = pair().await;
        let (mut waits, mut room) = (false, [0; 16]);
        for round in 0..100 {
            for look in 0..3 {
                let looked = poll_fn(|cx| {
                    // Whichever is asked first.
                    Poll::Ready(match (round + look) % 2 {
                        0 => ours.poll_next(&mut waits, cx, &mut room).is_pending(),
                        _ => ours.poll_news(&mut waits, cx).is_pending(),
                    })
                });
                assert!(looked.await);
                assert!(waits);
            }
            theirs.write_all(&[round]).await.unwrap();
            if round % 3 == 0 {
                poll_fn(|cx| ours.poll_news(&mut waits, cx)).await;
                assert!(!waits);
            }
            let read = poll_fn(|cx| ours.poll_next(&mut waits, cx, &mut room)).await;
            assert_eq!((read.unwrap(), room[0], waits), (1, round, false));
        }
        drop(theirs);
        let end = poll_fn(|cx| ours.poll_next(&mut waits, cx, &mut room)).await;
        assert_eq!(end.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_task_that_has_had_enough_of_its_turn_is_not_taken_for_one_that_waits() {
        let (mut ours, mut theirs) = pair().await;
        let (mut waits, mut room) = (false, [0; 16]);
        let late = poll_fn(|cx| {
            while let (true, Poll::Ready(step)) = (has_budget_remaining(), poll_proceed(cx)) {
                step.made_progress();
            }
            let news = ours.poll_news(&mut waits, cx);
            assert!(news.is_pending() && !waits);
            Poll::Ready(ours.poll_next(&mut waits, cx, &mut room).is_pending())
        });
        assert!(late.await);
        assert!(!waits);
        theirs.write_all(b"x").await.unwrap();
        let read = poll_fn(|cx| ours.poll_next(&mut waits, cx, &mut room)).await;
        assert_eq!((read.unwrap(), room[0]), (1, b'x'));
    }
}
