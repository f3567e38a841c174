//! The answers the gateway makes itself: RFC 9457 problem details, or gRPC trailers-only.
//!
//! A problem is an error of the OpenAI API at the same time: its clients look for `error` and do not
//! care about the content type. `message` is what clients of other APIs show.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::base::{
    dialect::Dialect,
    grpc,
    headers::{RequestId, X_REQUEST_ID},
    reason::Reason,
};

/// Names the [`Reason`] of an answer that no worker made.
pub(crate) const X_PENSTOCK_REASON: HeaderName = HeaderName::from_static("x-penstock-reason");

/// Builds the answer to a request that the gateway does not pass on.
///
/// `detail` is for people and tells about this occurrence; it may hold anything. `retry_after` is
/// rounded up to whole seconds, at least one. With `is_grpc` (see [`grpc::is_grpc`]) the answer is
/// trailers-only: HTTP 200, the status in the headers, no body. By `id` the operator finds the request
/// in the logs.
pub(crate) fn problem(
    reason: Reason,
    detail: &str,
    retry_after: Option<Duration>,
    is_grpc: bool,
    id: Option<&RequestId>,
) -> Response<Bytes> {
    let told = Told {
        reason,
        detail,
        param: None,
        retry_after,
        dialect: Dialect::Problem,
        id,
    };
    match is_grpc {
        true => complete(trailers_only(reason, detail), &told, true),
        false => problem_of(&told),
    }
}

/// What is told of a request that is not passed on, in the dialect of its API.
pub(crate) struct Told<'a> {
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) detail: &'a str,
    /// The parameter of the request that it is about.
    pub(crate) param: Option<&'static str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) dialect: Dialect,
    pub(crate) id: Option<&'a RequestId>,
}

/// Builds the answer to a request that the gateway does not pass on, as [`problem`] does it.
pub(crate) fn problem_of(told: &Told<'_>) -> Response<Bytes> {
    let mut response = complete(details(told), told, false);
    let Told {
        reason, detail, id, ..
    } = *told;
    told.dialect.suit(&mut response, reason, detail, id);
    response
}

/// Adds what is in the head of every such answer.
fn complete(mut response: Response<Bytes>, told: &Told<'_>, is_grpc: bool) -> Response<Bytes> {
    let Told {
        reason,
        retry_after,
        id,
        ..
    } = *told;
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.insert(X_REQUEST_ID, id.to_value());
    }
    headers.insert(X_PENSTOCK_REASON, HeaderValue::from_static(reason.slug()));
    if reason == Reason::Unauthenticated {
        // RFC 9110 §11.6.1 wants it with every 401.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = retry_after {
        headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        if is_grpc {
            headers.insert(grpc::GRPC_RETRY_PUSHBACK, whole_millis(wait).into());
        }
    }
    response
}

/// Members of the JSON object; the order is the one on the wire.
#[derive(Serialize)]
struct Details<'a> {
    error: OpenAiError<'a>,
    message: &'a str,
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// What the OpenAI API calls an error.
#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

fn details(told: &Told<'_>) -> Response<Bytes> {
    let Told {
        reason, detail, id, ..
    } = *told;
    let body = serde_json::to_vec(&Details {
        error: OpenAiError {
            message: detail,
            r#type: reason.openai_type(),
            param: told.param,
            code: reason.slug(),
        },
        message: detail,
        r#type: ["urn:penstock:reason:", reason.slug()].concat(),
        title: reason.title(),
        status: reason.status().as_u16(),
        detail,
        reason: reason.slug(),
        request_id: id.map(RequestId::as_str),
    })
    .expect("strings and numbers always serialise");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = reason.status();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

fn trailers_only(reason: Reason, detail: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(grpc::GRPC_STATUS, u16::from(reason.grpc_code()).into());
    headers.insert(grpc::GRPC_MESSAGE, grpc::message(detail));
    response
}

fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// A negative number would forbid to try again, and so would one of more than 32 bits.
fn whole_millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_that_names_its_reason_even_with_a_hostile_detail() {
        let detail = "quote \" backslash \\ line\nfeed \u{1} ü";
        let id = RequestId::given(b"id-1").unwrap();
        let response = problem(Reason::QueueFull, detail, None, false, Some(&id));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[X_PENSTOCK_REASON], "queue_full");
        assert_eq!(response.headers()[X_REQUEST_ID], "id-1");
        assert!(!response.headers().contains_key(RETRY_AFTER));
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "error": {
                    "message": detail,
                    "type": "rate_limit_error",
                    "param": null,
                    "code": "queue_full",
                },
                "message": detail,
                "type": "urn:penstock:reason:queue_full",
                "title": Reason::QueueFull.title(),
                "status": 429,
                "detail": detail,
                "reason": "queue_full",
                "request_id": "id-1",
            })
        );
    }

    #[test]
    fn a_grpc_call_gets_status_and_message_in_the_headers_and_no_body() {
        let response = problem(Reason::StartFailed, "exit status 1\n", None, true, None);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.body().is_empty());
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "application/grpc");
        assert_eq!(headers["grpc-status"], "14");
        assert_eq!(headers["grpc-message"], "exit status 1%0A");
        assert_eq!(headers[X_PENSTOCK_REASON], "start_failed");
    }

    #[test]
    fn a_grpc_client_that_retries_by_itself_is_told_when() {
        let wait = Some(Duration::from_millis(1500));
        let response = problem(Reason::TooLate, "", wait, true, None);
        assert_eq!(response.headers()["grpc-retry-pushback-ms"], "1500");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let month = Duration::from_secs(30 * 24 * 3600);
        let response = problem(Reason::TooLate, "", Some(month), true, None);
        let header = i32::MAX.to_string();
        assert_eq!(response.headers()["grpc-retry-pushback-ms"], header);
        let response = problem(Reason::TooLate, "", wait, false, None);
        let told = response.headers().contains_key("grpc-retry-pushback-ms");
        assert!(!told);
    }

    #[test]
    fn retry_after_is_rounded_up_to_at_least_one_second() {
        for (millis, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let wait = Duration::from_millis(millis);
            let response = problem(Reason::QueueFull, "", Some(wait), false, None);
            assert_eq!(response.headers()[RETRY_AFTER], header, "{millis} ms");
        }
    }
}
