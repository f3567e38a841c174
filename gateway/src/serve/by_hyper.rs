//! A request as hyper sends it: over HTTP/2, or over HTTP/1.1 for a client that speaks HTTP/2.

use std::time::Duration;

use http::{HeaderMap, Request};

use super::{
    admission::{ByDescriptor, Presence},
    attempt::{Destined, Engine},
    retry::{Kept, Retry},
};
use crate::{
    base::{headers, reason::Reason, refusal::Refusal},
    fleet::worker::WorkerState,
    http2::Broken,
    request::request_key::RequestHead,
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{outgoing, request_body::UpstreamBody},
    upstream::{Answer, SendError, Wire},
};

/// A request that is being sent.
pub(super) struct ByHyper<'c> {
    connection: &'c Connection,
    /// Empty once it was sent.
    request: Request<UpstreamBody>,
    kept: Option<Kept>,
    presence: ByDescriptor,
    pub(super) answer: Option<Answer>,
}

impl<'c> ByHyper<'c> {
    /// Keeps a copy of the request if that could be of use.
    pub(super) fn new(
        connection: &'c Connection,
        mut request: Request<UpstreamBody>,
        retry: &Retry<'_>,
        has_body: bool,
    ) -> Self {
        let kept = retry.keeps.and_then(|bytes| Kept::of(&mut request, bytes));
        Self {
            connection,
            request,
            kept,
            presence: ByDescriptor::of(connection, has_body),
            answer: None,
        }
    }
}

impl Engine for ByHyper<'_> {
    type Fields = HeaderMap;

    async fn send(
        &mut self,
        exchange: &Exchange,
        worker: &WorkerState,
        to: Destined<'_>,
        now: Duration,
    ) -> Result<(), SendError> {
        let upstreams = &self.connection.thread.upstreams;
        let timeouts = &to.service.spec.timeouts;
        let entry = exchange.listed.entry();
        let sent = upstreams.send(worker, to.wire, &mut self.request, timeouts, now, entry);
        let mut answer = sent.await?;
        let status = answer.response.status();
        match headers::check_response(status, answer.response.headers_mut()) {
            Ok(()) => {
                self.answer = Some(answer);
                Ok(())
            }
            // Its connection is closed with it.
            Err(why) => Err(SendError::Broken(Broken::Relayed {
                is_malformed: true,
                text: why.to_owned(),
            })),
        }
    }

    fn answer(&self) -> Option<(u16, &HeaderMap)> {
        let head = &self.answer.as_ref()?.response;
        Some((head.status().as_u16(), head.headers()))
    }

    fn presence(&mut self) -> &mut impl Presence {
        &mut self.presence
    }

    fn see<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let kept = self.kept.as_ref().map(Kept::head);
        let request = kept.as_ref().unwrap_or(&self.request);
        look(&RequestHead::outgoing(self.connection, request))
    }

    fn is_kept(&self) -> bool {
        self.kept.as_ref().is_some_and(Kept::is_whole)
    }

    fn rewind(&mut self) -> Result<(), Refusal> {
        self.answer = None;
        let again = self.kept.as_ref().map(Kept::again);
        let lost = || Refusal::new(Reason::Internal, "a request that was not kept");
        self.request = again.ok_or_else(lost)?;
        Ok(())
    }

    fn suit(&mut self, wire: &Wire) -> Result<(), Refusal> {
        outgoing::suit(&mut self.request, wire)
    }
}
