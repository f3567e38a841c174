//! How long a request's body may stand still, and how slowly it may come.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use penstock_config::MinRate;

use super::{Sent, Up};
use crate::{
    settle::upload::{Upload, UploadFailure},
    socket::connection::Connection,
};

impl Up {
    /// How fast it must come.
    pub(super) fn rate(&self) -> MinRate {
        match &self.service {
            Some(service) if !self.is_conversation => service.spec.timeouts.min_rate(),
            _ => MinRate {
                bytes_per_second: 0,
                window: Duration::MAX,
            },
        }
    }

    /// How long it may be.
    pub(super) fn max_bytes(&self) -> u64 {
        let service = self.service.as_ref();
        let most = service.and_then(|service| service.spec.max_body_bytes);
        most.unwrap_or(u64::MAX)
    }

    /// Whether the client is to send as fast as it must: not where it may be silent because it listens.
    pub(super) fn is_paced(&self) -> bool {
        let listens = |upload: &Arc<Upload>| upload.has_answer();
        self.body.left().is_some() || !self.upload.as_ref().is_some_and(listens)
    }

    /// The client sends nothing right now: fails once that has lasted for `idle` and the worker has sent
    /// nothing either, for a client may well listen for long before it goes on; or when it is too slow.
    pub(super) fn poll_stalled(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
    ) -> Poll<Sent> {
        let since = *self.waiting_since.get_or_insert_with(|| connection.now());
        let moved = self.upload.as_ref().map_or(since, |upload| upload.moved());
        let service = self.service.as_ref();
        let idle = service.map_or(Duration::MAX, |service| service.spec.timeouts.idle);
        let stalled = since.max(moved).saturating_add(idle);
        let too_slow = self.pace.ends(self.rate(), since);
        let (at, failure) = match too_slow.filter(|&at| at < stalled && self.is_paced()) {
            Some(at) => (at, UploadFailure::TooSlow),
            None => (stalled, UploadFailure::Stalled),
        };
        let clock = connection.thread.clock();
        ready!(self.timer.poll_until(cx, clock.instant(at)));
        Poll::Ready(self.fail(failure))
    }
}
