//! The bytes of a downstream connection, on their way to hyper.
//!
//! hyper hides two things that we need to know: which protocol a client speaks before it is
//! served, and whether a request head held both `Content-Length` and `Transfer-Encoding` (hyper
//! drops the former, as RFC 9112 §6.1 allows; we refuse such a request, because whoever sent it
//! may have meant to smuggle). So the preface is read here, and while a request head is expected
//! its bytes are kept in the connection's `head`.

mod frames;
mod read_ahead;
mod settings;
mod sieve;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub(crate) use self::{read_ahead::ReadAhead, sieve::Sieve};
use crate::socket::{
    connection::Connection,
    linger::Linger,
    proxy_header::{self, Malformed},
    read_through::Reader,
    rejection,
    small_writes::poll_write_pieces,
    tls::{self, MaybeTls, TlsClient, Upfront},
};

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a head that are kept for a look at them. A longer head is not judged by them.
const KEPT_MAX: usize = 16 * 1024;

/// Bytes read at a time while looking for a PROXY protocol header. Nearly every header fits.
const PROXY_CHUNK: usize = 512;

/// The bytes of a connection to a client.
pub(crate) type ClientStream = MaybeTls<TcpStream, TlsClient>;

/// A downstream connection as hyper reads and writes it.
pub(crate) struct DownstreamIo {
    stream: ClientStream,
    connection: Option<Arc<Connection>>,
    /// What was read while looking for the preface; given out first.
    prefix: [u8; H2_PREFACE.len()],
    prefix_begin: usize,
    prefix_end: usize,
    /// What came together with a PROXY protocol header; given out next.
    ahead: ReadAhead,
    /// What the client's HTTP/2 frames are read through.
    sieve: Sieve,
    /// An answer of ours in place of one of hyper's, not yet written.
    replacement: Vec<u8>,
    /// Once our side has ended and the client may still be sending.
    linger: Option<Linger>,
}

impl DownstreamIo {
    /// Wraps an accepted connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::over(MaybeTls::Plain(stream), ReadAhead::default())
    }

    /// Wraps a connection of which a part was read, which is given out first.
    pub(crate) fn over(stream: ClientStream, ahead: ReadAhead) -> Self {
        Self {
            stream,
            connection: None,
            prefix: [0; H2_PREFACE.len()],
            prefix_begin: 0,
            prefix_end: 0,
            ahead,
            sieve: Sieve::after(H2_PREFACE.len()),
            replacement: Vec::new(),
            linger: None,
        }
    }

    /// The connection, and what was read of it.
    pub(crate) fn into_parts(self) -> (ClientStream, Vec<u8>) {
        let prefix = self.prefix.get(self.prefix_begin..self.prefix_end);
        let mut read = prefix.unwrap_or_default().to_vec();
        read.extend_from_slice(self.ahead.bytes());
        (self.stream, read)
    }

    fn poll_write_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.replacement))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether `bytes` are an answer that is written in our form instead.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let replacement = self
            .connection
            .as_deref()
            .and_then(|connection| rejection::replacement(connection, bytes));
        match replacement {
            Some(replacement) => {
                self.replacement = replacement;
                true
            }
            None => false,
        }
    }

    /// Tells `connection` from now on what is read.
    pub(crate) fn attach(&mut self, connection: Arc<Connection>) {
        if self.prefix_end > 0 {
            connection.bytes_read();
        }
        self.connection = Some(connection);
    }

    /// Reads the PROXY protocol header that the connection must begin with; the client, where it names
    /// one. `Ok(Err(_))` means that it does not; an error, that nothing came at all.
    pub(crate) async fn read_proxy_header(
        &mut self,
    ) -> io::Result<Result<Option<SocketAddr>, Malformed>> {
        let mut chunk = [0; PROXY_CHUNK];
        loop {
            let read = self.stream.read(&mut chunk).await?;
            if read == 0 && self.ahead.bytes().is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if read == 0 {
                return Ok(Err(Malformed::Incomplete));
            }
            self.ahead.add(&chunk[..read]);
            match proxy_header::parse(self.ahead.bytes()) {
                Ok(None) => {}
                Ok(Some(header)) => {
                    self.ahead.skip(header.length);
                    return Ok(Ok(header.client));
                }
                Err(malformed) => return Ok(Err(malformed)),
            }
        }
    }

    /// Secures the connection by TLS, within `limit`.
    pub(crate) async fn secure(
        self,
        config: Arc<ServerConfig>,
        limit: Duration,
    ) -> Result<Self, tls::Failed> {
        let MaybeTls::Plain(stream) = self.stream else {
            return Ok(self);
        };
        let reader = self.ahead;
        let secured = tls::handshake(Upfront { stream, reader }, config, limit).await?;
        Ok(Self {
            stream: MaybeTls::Tls(secured),
            ahead: ReadAhead::default(),
            ..self
        })
    }

    /// Whether what came first is not HTTP but TLS.
    pub(crate) fn begins_with_tls(&self) -> bool {
        self.prefix_end > 0 && self.prefix[0] == tls::HELLO
    }

    /// Whether the client begins with the HTTP/2 preface. Reads only as much as it takes to know;
    /// once the first byte came the rest must follow within `rest_timeout`.
    pub(crate) async fn reads_h2_preface(&mut self, rest_timeout: Duration) -> io::Result<bool> {
        self.read_prefix().await?;
        let rest = async {
            while self.prefix_matches() && self.prefix_end < H2_PREFACE.len() {
                self.read_prefix().await?;
            }
            Ok(self.prefix_matches())
        };
        tokio::time::timeout(rest_timeout, rest).await?
    }

    fn prefix_matches(&self) -> bool {
        H2_PREFACE.starts_with(&self.prefix[..self.prefix_end])
    }

    async fn read_prefix(&mut self) -> io::Result<()> {
        let room = &mut self.prefix[self.prefix_end..];
        let read = match self.ahead.give(room) {
            0 => self.stream.read(room).await?,
            given => given,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.prefix_end += read;
        Ok(())
    }

    /// Looks at what the client sent.
    fn look_at(&self, bytes: &[u8]) {
        let Some(connection) = &self.connection else {
            return;
        };
        if bytes.is_empty() {
            return;
        }
        connection.bytes_read();
        if !connection.h2 && connection.expects_head.load(Ordering::Relaxed) {
            let mut head = connection.head().lock();
            let room = KEPT_MAX.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Looks at the frames of an HTTP/2 client. An error when it only makes work.
    fn judge(&mut self) -> io::Result<()> {
        let Some(connection) = self.connection.as_ref().filter(|connection| connection.h2) else {
            return Ok(());
        };
        let frames = &mut self.sieve.frames;
        connection.in_frame(frames.in_middle());
        frames.given_up(connection.given_up());
        if frames.is_flood(|| connection.thread.now()) {
            connection.floods();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for DownstreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let speaks_h2 = this
            .connection
            .as_ref()
            .is_some_and(|connection| connection.h2);
        let Self {
            stream,
            prefix,
            prefix_begin,
            prefix_end,
            ahead,
            sieve,
            ..
        } = &mut *this;
        let mut read = |cx: &mut Context<'_>, buf: &mut ReadBuf<'_>| {
            if prefix_begin < prefix_end {
                let prefix = &prefix[*prefix_begin..*prefix_end];
                let taken = prefix.len().min(buf.remaining());
                buf.put_slice(&prefix[..taken]);
                *prefix_begin += taken;
                return Poll::Ready(Ok(()));
            }
            ahead.poll_read(Pin::new(&mut *stream), cx, buf)
        };
        let polled = match speaks_h2 {
            true => sieve.poll_read(cx, buf, read),
            false => read(cx, buf),
        };
        // Also when nothing comes of it: what was taken out has been sent all the same.
        this.judge()?;
        ready!(polled)?;
        this.look_at(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DownstreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_write_replacement(cx))?;
        if this.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.sieve.frames.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_write_replacement(cx))?;
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty())
            && this.replaces(first)
        {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = ready!(poll_write_pieces(&mut this.stream, cx, bufs))?;
        this.sieve.frames.written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_replacement(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_replacement(cx))?;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.linger = this
                .connection
                .as_deref()
                .filter(|connection| connection.sends_body.load(Ordering::Relaxed))
                .map(|connection| Linger::new(connection.thread.clock()));
        }
        match &mut this.linger {
            Some(linger) => linger.poll(&mut this.stream, cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
