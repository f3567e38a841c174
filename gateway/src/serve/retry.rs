//! May a request that failed be sent again, and what is kept of it for that.
//!
//! What no worker has begun may always be sent again, whatever the method: when no connection could be
//! opened, or an HTTP/2 worker said that it did not process the stream (RFC 9113 §8.7). It costs the
//! workers nothing, so the budget is not asked. Everything else may have been carried out: it is sent again
//! only if its method is idempotent (RFC 9110 §9.2.2) or the operator said that repeating does no
//! harm, and only within the service's budget. Never once the head of an answer was passed on.

use std::mem::take;

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use penstock_balancer::RetryBudget;
use penstock_config::{Protocol, Retries};

use crate::{
    base::grpc,
    base::headers::Fields,
    count::metrics::Cause,
    fleet::deployment::DeploymentState,
    http2::Interim,
    route::table::ServiceState,
    settle::exchange::Exchange,
    stream::request_body::{Replay, UpstreamBody},
    upstream::answer_health::AnswerHealth,
};

/// What is known of one request about sending it again.
pub(crate) struct Retry<'a> {
    settings: &'a Retries,
    budget: &'a RetryBudget,
    /// Whether it does no harm if it was carried out already.
    is_harmless: bool,
    /// Bytes of its body that may be kept for another try; `None` when no copy of it would be of use.
    pub(super) keeps: Option<u64>,
}

/// A copy of a request. Its fields lie in a row: that takes less to make and to drop than another
/// map of them, and few requests are ever sent again.
pub(super) struct Kept {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Where interim answers are told.
    interim: Option<Interim>,
    body: Option<Replay>,
}

impl<'a> Retry<'a> {
    /// Looks at a request of this method before it is sent for the first time. An upgrade is never sent
    /// twice.
    pub(crate) fn prepare(
        service: &'a ServiceState,
        protocol: Protocol,
        is_upgrade: bool,
        method: &Method,
    ) -> Self {
        let settings = &service.spec.retries;
        let is_harmless = settings.any_method || method.is_idempotent();
        let is_on = settings.attempts > 0;
        if is_on {
            service.retry_budget.request();
        }
        // An HTTP/1 worker has no way to say that it did not begin.
        let is_kept = is_on && !is_upgrade && (is_harmless || protocol == Protocol::H2);
        Self {
            settings,
            budget: &service.retry_budget,
            is_harmless,
            keeps: is_kept.then_some(settings.buffer_bytes),
        }
    }

    /// Why an answer should rather come from another worker, if it should.
    pub(crate) fn objection(
        &self,
        is_grpc: bool,
        status: u16,
        fields: &impl Fields,
    ) -> Option<Cause> {
        if self.settings.statuses.contains(&status) {
            return Some(Cause::Status);
        }
        if let AnswerHealth::Busy(Some(_)) = AnswerHealth::of_head(is_grpc, status, fields) {
            return Some(Cause::RetryAfter);
        }
        let unavailable = is_grpc && grpc::status(fields) == Some(grpc::UNAVAILABLE);
        unavailable.then_some(Cause::GrpcUnavailable)
    }

    /// Whether a first-byte timeout, the gateway's own 504, is one of the statuses to try again on.
    pub(crate) fn wants_late(&self) -> bool {
        self.settings.statuses.contains(&504)
    }

    /// Whether the request is to be sent again, of which there is a whole copy or not. A true answer has
    /// been paid for.
    pub(crate) fn may(
        &self,
        cause: Cause,
        is_kept: bool,
        exchange: &Exchange,
        deployment: &DeploymentState,
    ) -> bool {
        let can = exchange.retries < self.settings.attempts
            && (cause.is_unbegun() || self.is_harmless)
            && (cause == Cause::ConnectFailed || is_kept)
            && exchange.upload_failure().is_none()
            && exchange.overdue(&exchange.clock().moment()).is_none();
        if !can {
            return false;
        }
        let may = cause.is_unbegun() || self.budget.try_retry(exchange.clock().now());
        deployment.metrics.retry(may.then_some(cause));
        may
    }
}

impl Kept {
    /// A copy of a request that asks for no upgrade; `None` when its body may be longer than
    /// `max_body` bytes.
    pub(super) fn of(request: &mut Request<UpstreamBody>, max_body: u64) -> Option<Self> {
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
            interim: request.extensions().get::<Interim>().cloned(),
            body,
        })
    }

    /// The request, to be sent once more.
    pub(super) fn again(&self) -> Request<UpstreamBody> {
        let mut request = self.head();
        if let Some(interim) = &self.interim {
            request.extensions_mut().insert(interim.clone());
        }
        if let Some(replay) = &self.body {
            *request.body_mut() = replay.again();
        }
        request
    }

    /// Its head, as it was sent.
    pub(super) fn head(&self) -> Request<UpstreamBody> {
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

    /// Whether all of its body is here.
    pub(super) fn is_whole(&self) -> bool {
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
