//! What the gateway says itself: whole answers, and fields beside those of a worker's.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE},
};

use super::Exchange;
use crate::base::{
    headers::X_REQUEST_ID,
    problem::{Told, problem, problem_of},
    reason::Reason,
    refusal::Refusal,
};

impl Exchange {
    /// Answers the request without a worker: the answer, with its whole body.
    pub(crate) fn refused(&mut self, refusal: &Refusal) -> Response<Bytes> {
        self.lease = None;
        self.reason = Some(refusal.reason);
        self.complete = true;
        self.expects(refusal.wait_notice);
        let after = refusal.told_retry_after(rand::random());
        let full = refusal.in_full();
        let told = match self.connection.thread.settings().error_details {
            true => &*full,
            false => &*refusal.detail,
        };
        let id = self.request_id.as_ref();
        let mut answer = match self.is_grpc {
            true => problem(refusal.reason, told, after, true, id),
            false => problem_of(&Told {
                reason: refusal.reason,
                detail: told,
                param: refusal.rare().and_then(|rare| rare.param),
                retry_after: after,
                dialect: self.dialect,
                id,
            }),
        };
        if let Some(rare) = refusal.rare() {
            let headers = answer.headers_mut();
            if let Some(methods) = rare.allow {
                headers.insert(ALLOW, HeaderValue::from_static(methods));
            }
            if let Some(location) = &rare.location {
                headers.insert(LOCATION, location.clone());
            }
        }
        self.write_own(answer.headers_mut());
        self.status = answer.status().as_u16();
        self.bytes_out = match self.is_head {
            true => 0,
            false => answer.body().len() as u64,
        };
        if refusal.cause.is_some() {
            self.log_cause(refusal.reason, &full);
        }
        if self.logged.is_some() {
            self.seldom_mut().detail = Some(full.into());
        }
        answer
    }

    /// Answers the request without a worker, as it was asked to: adds what every answer has.
    pub(crate) fn answers(&mut self, mut answer: Response<Bytes>) -> Response<Bytes> {
        self.complete = true;
        self.status = answer.status().as_u16();
        self.bytes_out = match self.is_head {
            true => 0,
            false => answer.body().len() as u64,
        };
        let id = self.request_id.as_ref();
        let headers = answer.headers_mut();
        if let Some(id) = id {
            headers.insert(X_REQUEST_ID, id.to_value());
        }
        self.dialect.name(headers, id);
        answer
    }

    /// The head of a stream of events that begins before there is a worker for it.
    pub(crate) fn head_of_stream(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let id = self.request_id.as_ref();
        if let Some(id) = id {
            headers.insert(X_REQUEST_ID, id.to_value());
        }
        self.dialect.name(&mut headers, id);
        self.write_own(&mut headers);
        headers
    }

    /// The worker's connection broke in the middle of its answer.
    pub(crate) fn broken_by(&mut self, reason: Reason, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        self.log_cause(reason, &error);
        if self.logged.is_some() {
            self.seldom_mut().detail = Some(error.into());
        }
    }

    /// Tells the operator what the client is not told, by the id that the client has.
    fn log_cause(&self, reason: Reason, detail: &str) {
        let thread = &self.connection.thread;
        if !reason.status().is_server_error() {
            return;
        }
        let Some(left_out) = thread.shared.refusals.line(self.now()) else {
            return;
        };
        let deployment = self.deployment.as_deref();
        tracing::warn!(
            request_id = self.id(),
            service = deployment.map(|deployment| deployment.service.as_str()),
            deployment = deployment.map(|deployment| deployment.name.as_str()),
            worker = self.worker_slot,
            reason = reason.slug(),
            left_out = (left_out > 0).then_some(left_out),
            "request failed: {detail}"
        );
    }

    /// Whether [`Self::write_own`] has something to say.
    pub(crate) fn has_own(&self) -> bool {
        let seldom = self.seldom.as_ref();
        seldom.is_some_and(|own| own.wait_notice.is_some() || own.cookie.is_some())
    }

    /// Adds Set-Cookie and the queue headers.
    pub(crate) fn write_own(&self, headers: &mut HeaderMap) {
        let Some(seldom) = &self.seldom else { return };
        if let Some(wait_notice) = &seldom.wait_notice {
            wait_notice.write(headers, seldom.queue_wait);
        }
        if let Some(cookie) = &seldom.cookie {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
}
