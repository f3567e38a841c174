//! May a request that failed be sent again, and what is kept of it for that.
//!
//! What no worker has begun may always be sent again, whatever the method: when no connection could be
//! opened, or an HTTP/2 worker said that it did not process the stream (RFC 9113 §8.7). It costs the
//! workers nothing, so the budget is not asked. Everything else may have been carried out: it is sent again
//! only if its method is idempotent (RFC 9110 §9.2.2) or the operator said that repeating does no
//! harm, and only within the service's budget. Never once the head of an answer was passed on.

use std::mem::take;

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use penstock_balancer::RetryBudget;
use penstock_config::{Protocol, Retries};

use crate::{
    base::grpc,
    count::metrics::Cause,
    fleet::deployment::DeploymentState,
    route::table::ServiceState,
    settle::exchange::Exchange,
    stream::request_body::{Replay, UpstreamBody},
    upstream::verdict::Verdict,
};

/// What is known of one request about sending it again.
pub(crate) struct Retry<'a> {
    settings: &'a Retries,
    budget: &'a RetryBudget,
    /// Whether it does no harm if it was carried out already.
    is_harmless: bool,
    kept: Option<Kept>,
}

/// A copy of a request. Its fields lie in a row: that takes less to make and to drop than another
/// map of them, and few requests are ever sent again.
struct Kept {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Option<Replay>,
}

impl<'a> Retry<'a> {
    /// Looks at a request before it is sent for the first time, and keeps a copy if it could be of
    /// use. An upgrade is never sent twice.
    pub(crate) fn prepare(
        service: &'a ServiceState,
        protocol: Protocol,
        is_upgrade: bool,
        request: &mut Request<UpstreamBody>,
    ) -> Self {
        let settings = &service.spec.retries;
        let is_harmless = settings.any_method || request.method().is_idempotent();
        let mut retry = Self {
            settings,
            budget: &service.retry_budget,
            is_harmless,
            kept: None,
        };
        if settings.attempts == 0 {
            return retry;
        }
        retry.budget.request();
        // An HTTP/1 worker has no way to say that it did not begin.
        if !is_upgrade && (is_harmless || protocol == Protocol::H2) {
            retry.kept = Kept::of(request, settings.buffer_bytes);
        }
        retry
    }

    /// Why an answer should rather come from another worker, if it should.
    pub(crate) fn objection<B>(&self, is_grpc: bool, answer: &Response<B>) -> Option<Cause> {
        let status = answer.status().as_u16();
        if self.settings.statuses.contains(&status) {
            return Some(Cause::Status);
        }
        if let Verdict::Busy(Some(_)) = Verdict::of_head(is_grpc, answer) {
            return Some(Cause::RetryAfter);
        }
        let unavailable = is_grpc && grpc::status(answer.headers()) == Some(grpc::UNAVAILABLE);
        unavailable.then_some(Cause::GrpcUnavailable)
    }

    /// Whether a first-byte timeout, the gateway's own 504, is one of the statuses to try again on.
    pub(crate) fn wants_late(&self) -> bool {
        self.settings.statuses.contains(&504)
    }

    /// Whether the request is to be sent again. A true answer has been paid for.
    pub(crate) fn may(
        &self,
        cause: Cause,
        exchange: &Exchange,
        deployment: &DeploymentState,
    ) -> bool {
        let can = exchange.retries < self.settings.attempts
            && (cause.is_unbegun() || self.is_harmless)
            && (cause == Cause::ConnectFailed || self.kept.as_ref().is_some_and(Kept::is_whole))
            && exchange.upload_failure().is_none()
            && exchange.overdue(&exchange.clock().moment()).is_none();
        if !can {
            return false;
        }
        let may = cause.is_unbegun() || self.budget.try_retry(exchange.clock().now());
        deployment.metrics.retry(may.then_some(cause));
        may
    }

    /// The head of the request as it was sent, if it was kept.
    pub(crate) fn head(&self) -> Option<Request<UpstreamBody>> {
        self.kept.as_ref().map(Kept::head)
    }

    /// The request, to be sent once more.
    pub(crate) fn again(&self) -> Option<Request<UpstreamBody>> {
        self.kept.as_ref().map(Kept::again)
    }
}

impl Kept {
    /// A copy of a request that asks for no upgrade; `None` when its body may be longer than
    /// `max_body` bytes.
    fn of(request: &mut Request<UpstreamBody>, max_body: u64) -> Option<Self> {
        let body = match request.body_mut() {
            UpstreamBody::Empty => None,
            body => {
                let (first, replay) = Replay::keep(take(body), max_body);
                *body = first;
                Some(replay?)
            }
        };
        let fields = request.headers().iter();
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields: fields
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body,
        })
    }

    fn again(&self) -> Request<UpstreamBody> {
        let mut request = self.head();
        if let Some(replay) = &self.body {
            *request.body_mut() = replay.again();
        }
        request
    }

    fn head(&self) -> Request<UpstreamBody> {
        let mut request = Request::new(UpstreamBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        headers.reserve(self.fields.len());
        for (name, value) in &self.fields {
            headers.append(name, value.clone());
        }
        request
    }

    fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(Replay::is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_has_every_line_of_the_first() {
        let mut first = Request::put("/v1/models?x=1")
            .version(Version::HTTP_11)
            .header("host", "a")
            .header("accept", "one")
            .header("x-custom", "1")
            .header("accept", "two")
            .body(UpstreamBody::Empty)
            .unwrap();
        let kept = Kept::of(&mut first, 0).expect("a request without a body can be kept");
        for _ in 0..2 {
            let again = kept.again();
            assert_eq!(again.method(), first.method());
            assert_eq!(again.uri(), first.uri());
            assert_eq!(again.version(), first.version());
            assert_eq!(again.headers(), first.headers());
            assert!(matches!(again.body(), UpstreamBody::Empty));
        }
    }
}
