//! Copies of requests for a deployment that sees real traffic without answering it.
//!
//! A copy begins when its original has got a worker. It is a task of its own on the same thread, with
//! a connection of its own, and nothing waits for it: the original's path decides whether there is a
//! copy, clones the head, and hands each piece of the body on as it passes ([`copied_body`]). A copy is sent
//! once; whatever goes wrong, it is dropped and counted ([`Dropped`]).
//!
//! A copy follows its original: when the client leaves, or the original's body is not read to its
//! end, the copy is given up as well. It has the same header fields, `x-request-id` among them, and
//! [`X_PENSTOCK_MIRROR`].
//!
//! Which requests are copied is said in [`mirroring`](crate::route::mirroring). Upgrades are not, nor is
//! what came to a deployment's own host.
//!
//! Copies that run go on when a reload changes the mirror. At shutdown nobody waits for them: those
//! that are not over when the last client's connection ends are cut.

mod copy;

use std::sync::Arc;

use http::{HeaderValue, request::Parts};
use http_body::SizeHint;
use penstock_config::{Mirror, Service};

use self::copy::{Copy, Guards};
use crate::{
    base::headers::{Named, X_PENSTOCK_MIRROR},
    count::metrics::Dropped,
    route::mirroring::MirrorState,
    settle::{exchange::Exchange, original::Mirrored},
    socket::connection::Connection,
    stream::{
        copied_body::{self, Tee, Watch},
        outgoing::Outgoing,
        request_body::UpstreamBody,
    },
    upstream::Wire,
};

/// A request that has got its worker and may be copied.
pub(crate) struct MirrorSource<'r> {
    /// Where it came from.
    pub(crate) connection: &'r Connection,
    /// Its service.
    pub(crate) service: &'r Arc<Service>,
    /// Its head.
    pub(crate) parts: &'r Parts,
    /// Its host.
    pub(crate) host: &'r HeaderValue,
    /// What is known of its body's length, if it has a body.
    pub(crate) body: Option<SizeHint>,
}

impl MirrorState {
    /// Starts a copy of the request. What is returned wants the pieces of the request's body.
    pub(crate) fn copy(&self, exchange: &mut Exchange, request: &MirrorSource<'_>) -> Option<Tee> {
        self.begin(exchange, request).unwrap_or_else(|why| {
            self.target.copies.metrics.ended(Err(why));
            None
        })
    }

    fn begin(
        &self,
        exchange: &mut Exchange,
        request: &MirrorSource<'_>,
    ) -> Result<Option<Tee>, Dropped> {
        let Mirror { wakes, scales, .. } = self.spec;
        let target = &self.target;
        let thread = &request.connection.thread;
        let place = target
            .copies
            .places
            .take(self.spec.max_in_flight as usize)
            .ok_or(Dropped::MaxInFlight)?;
        let now = exchange.leased_at();
        let lease = target.lease_copy(&exchange.pick_by, scales, now);
        if let Err(why) = lease {
            if scales && (wakes || why == Dropped::Full) {
                target.no_capacity_for_copy();
            }
            if !wakes {
                return Err(why);
            }
        }
        let guards = Guards {
            _place: place,
            _waking: wakes.then(|| target.wake_for_copy()),
            load: scales.then(|| target.load_of_copy(thread.index, now)),
        };
        let (body, tee, watch) = self.body(request.body.as_ref());
        let outgoing = Outgoing::prepare(
            request.parts.clone(),
            Named::of(&request.parts.headers),
            body,
            request.host,
            &Wire::of(&target.view().spec),
            None,
            exchange,
        );
        // What cannot be sent here cannot be sent there either, and is refused.
        let mut copied = outgoing.map_err(|_| Dropped::Unfinished)?.request;
        copied
            .headers_mut()
            .insert(X_PENSTOCK_MIRROR, HeaderValue::from_static("1"));
        let (mirrored, original) = Mirrored::link();
        exchange.has_copy(mirrored);
        let copy = Copy {
            request: copied,
            body: watch,
            is_grpc: exchange.is_grpc,
            pick_by: exchange.pick_by,
            lease: lease.ok(),
            guards,
            timeout: self.spec.timeout,
            service: Arc::clone(request.service),
            target: Arc::clone(target),
            thread: Arc::clone(thread),
        };
        copy::spawn(copy, original);
        Ok(tee)
    }

    /// The copy's body, who feeds it, and who watches it.
    fn body(&self, original: Option<&SizeHint>) -> (UpstreamBody, Option<Tee>, Option<Watch>) {
        let Some(length) = original else {
            return (UpstreamBody::Empty, None, None);
        };
        let (tee, body, watch) = copied_body::pipe(
            length.exact(),
            self.spec.buffer_bytes,
            Arc::clone(&self.target.copies.kept),
        );
        (UpstreamBody::Copied(body), Some(tee), Some(watch))
    }
}
