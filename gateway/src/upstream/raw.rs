//! HTTP/1.1 connections to workers as bytes: one request at a time, kept in between.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use penstock_config::{Timeouts, fleet::Stage};
use tokio::io::AsyncWrite;

pub(crate) use super::h1::kept_for;
use super::{
    IDLE_MAX, Upstreams,
    connect::{ConnectError, WorkerStream},
    h1::ASK_FROM,
    watched::Place,
    wire::Wire,
};
use crate::{count::open::Entry, fleet::worker::WorkerState, socket::client_gone::is_established};

/// A connection in the hands of one request. Dropped, it is closed, which is what a worker needs to see
/// when nobody reads on.
pub(crate) struct RawConnection {
    pub(crate) stream: WorkerStream,
    /// Whether what comes wakes the task that has it.
    waits: bool,
    /// Whose it is.
    worker: u64,
    _place: Place,
}

/// One that no request uses.
pub(super) struct IdleRaw {
    connection: RawConnection,
    since: Duration,
    expires: Duration,
}

impl IdleRaw {
    /// Whether it may be kept.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now < self.expires && is_established(self.connection.stream.as_raw_fd())
    }

    /// Whether a request may be sent on it: the worker has neither closed it nor said anything on it. The
    /// kernel is asked only where it lay idle for a while, because a worker closes those that are idle,
    /// and the runtime may not have been told yet.
    fn is_clean(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        // Another task had it.
        self.connection.waits = false;
        let said = self.connection.poll_news(cx).is_ready()
            && self.connection.poll_read(cx, &mut [0]).is_ready();
        let was_in_use = now.saturating_sub(self.since) < ASK_FROM;
        !said && now < self.expires && (was_in_use || self.is_usable(now))
    }
}

/// A connection to send a request on.
pub(crate) struct Opened {
    pub(crate) connection: RawConnection,
    /// How long opening it took; `None` when it was there already.
    pub(crate) connect_time: Option<Duration>,
}

impl Upstreams {
    /// An idle connection to the worker that a request may be sent on.
    pub(crate) fn take_raw(
        &self,
        cx: &mut Context<'_>,
        worker: &WorkerState,
        wire: &Wire,
        now: Duration,
    ) -> Option<RawConnection> {
        let mut workers = self.workers.lock();
        let idle = &mut workers.get_mut(&wire.key(worker))?.raw;
        while let Some(mut found) = idle.pop() {
            if found.is_clean(cx, now) {
                return Some(found.connection);
            }
        }
        None
    }

    /// Opens a connection to the worker. While that lasts, the `entry` in the list of open requests says so.
    pub(crate) async fn open_raw(
        &self,
        worker: &WorkerState,
        wire: &Wire,
        timeouts: &Timeouts,
        entry: Entry,
    ) -> Result<Opened, ConnectError> {
        let begun = worker.now();
        entry.now_in(Stage::Connect, begun);
        let (stream, place) = self.open(worker, wire, timeouts).await?;
        let connected = worker.now();
        entry.now_in(Stage::FirstByte, connected);
        Ok(Opened {
            connection: RawConnection {
                stream,
                waits: false,
                worker: wire.key(worker),
                _place: place,
            },
            connect_time: Some(connected.saturating_sub(begun)),
        })
    }

    /// Takes a connection back on which an answer was read to its end, and nothing more. It may be kept for
    /// `keepalive`.
    pub(crate) fn give_back_raw(
        &self,
        connection: RawConnection,
        keepalive: Duration,
        now: Duration,
    ) {
        let expires = now + keepalive;
        let mut workers = self.workers.lock();
        let idle = &mut workers.entry(connection.worker).or_default().raw;
        if idle.len() < IDLE_MAX {
            idle.push(IdleRaw {
                connection,
                since: now,
                expires,
            });
        }
    }
}

impl RawConnection {
    /// Reads: how much; 0 at the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_next(&mut self.waits, cx, room)
    }

    /// Ready when a read may find something.
    pub(crate) fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_news(&mut self.waits, cx)
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_now(cx, bytes)
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
