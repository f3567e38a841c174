//! How long an answer may stand still, and how slowly its client may take it.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{Down, Ended};
use crate::{
    base::{clock::Moment, reason::Reason, timer::Timer},
    serve::relay::client::Client,
    settle::exchange::Exchange,
};

/// The client takes less than it must.
struct TooSlow;

impl Down {
    /// Nothing moves right now: fails once that has lasted for `idle` in the direction that is waited for, or
    /// when the client is too slow, or the whole exchange has lasted too long.
    pub(super) fn poll_stalled(
        &mut self,
        cx: &mut Context<'_>,
        client: &Client,
        exchange: &mut Exchange,
        timer: &mut Timer,
        moment: &Moment,
    ) -> Poll<Ended> {
        let clock = exchange.clock();
        let mut since = *self.waiting_since.get_or_insert_with(|| moment.now());
        let waits_for_client = !client.out.is_empty();
        if !waits_for_client {
            since = since.max(exchange.upload_moved());
        }
        let stalled = since + self.service.spec.timeouts.idle;
        loop {
            let look = match waits_for_client && !exchange.is_conversation {
                true => match self.looks(exchange, clock.now()) {
                    Ok(next) => next.filter(|&at| at < stalled),
                    Err(TooSlow) => return Poll::Ready(self.cut(exchange, Reason::ClientTooSlow)),
                },
                false => None,
            };
            let (at, reason) = exchange.sooner(look.unwrap_or(stalled), Reason::IdleTimeout);
            ready!(timer.poll_until(cx, clock.instant(at)));
            let reason = match reason {
                Reason::IdleTimeout if look.is_some() => continue,
                // A client that takes nothing is not the worker's fault.
                Reason::IdleTimeout if waits_for_client => Reason::RequestTimeout,
                reason => reason,
            };
            return Poll::Ready(self.cut(exchange, reason));
        }
    }

    /// Looks, if it is time, whether the client takes what it must: when to look next.
    fn looks(&mut self, exchange: &Exchange, now: Duration) -> Result<Option<Duration>, TooSlow> {
        let rate = self.service.spec.timeouts.min_rate();
        let taking = self.taking.get_or_insert_default();
        let is_due = |at: Duration| at <= now;
        if taking.next_look(rate).is_none_or(is_due)
            // How much of it lies in our system's buffer is not known.
            && taking.looks(rate, now, 0, || exchange.acknowledged())
        {
            return Err(TooSlow);
        }
        Ok(taking.next_look(rate))
    }
}
