//! Errors as the clients of an API expect them.
//!
//! OpenAI's form lies beside the members of RFC 9457, which its clients pass over. Those of Anthropic and Google
//! are their own alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;

use crate::base::{
    headers::RequestId,
    problem::{Told, problem_of},
    reason::{Reason, openai_type_of},
};

/// The API that a request speaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Any, or none: problem details.
    #[default]
    Problem,
    OpenAi,
    Anthropic,
    Gemini,
}

/// By what Anthropic's clients know a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Whether clients of either maker should try again: their own guess would be the status.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct AnthropicAnswer<'a> {
    r#type: &'static str,
    error: AnthropicError<'a>,
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct GeminiAnswer<'a> {
    error: GeminiError<'a>,
}

#[derive(Serialize)]
struct GeminiError<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
}

impl Dialect {
    /// Turns problem details, which are an error of the OpenAI API already, into its own.
    pub(crate) fn suit(
        self,
        answer: &mut Response<Bytes>,
        reason: Reason,
        detail: &str,
        id: Option<&RequestId>,
    ) {
        if self == Self::Problem {
            return;
        }
        let id = id.map(RequestId::as_str);
        if let Some(body) = self.body(reason, detail, id) {
            *answer.body_mut() = body;
        }
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(X_SHOULD_RETRY, should_retry(reason));
        if self == Self::Anthropic {
            name(headers, id);
        }
    }

    /// Tells the client the request's id in the way it looks for.
    pub(crate) fn name(self, headers: &mut HeaderMap, id: Option<&RequestId>) {
        if self == Self::Anthropic {
            name(headers, id.map(RequestId::as_str));
        }
    }

    /// What keeps a stream of events alive: clients pass over it.
    pub(crate) fn keep_alive(self) -> &'static [u8] {
        match self {
            Self::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            Self::Problem | Self::OpenAi | Self::Gemini => b": waiting for a worker\n\n",
        }
    }

    /// The event that tells an error, of which `body` is the JSON, in one line.
    pub(crate) fn event(self, body: &str) -> Bytes {
        let event = match self {
            Self::Anthropic => format!("event: error\ndata: {body}\n\n"),
            Self::Problem | Self::OpenAi | Self::Gemini => format!("data: {body}\n\n"),
        };
        Bytes::from(event)
    }

    /// The same for a reason of the gateway.
    pub(crate) fn event_of(self, reason: Reason, detail: &str, id: Option<&RequestId>) -> Bytes {
        let answer = problem_of(&Told {
            reason,
            detail,
            param: None,
            retry_after: None,
            dialect: self,
            id,
        });
        self.event(&String::from_utf8_lossy(answer.body()))
    }

    /// The same for an error of a worker that is in no form of an API: its status, and what it says.
    pub(crate) fn event_for(
        self,
        status: StatusCode,
        message: &str,
        id: Option<&RequestId>,
    ) -> Bytes {
        let (code, id) = (status.as_u16(), id.map(RequestId::as_str));
        let body = match self {
            Self::Anthropic => {
                let error = json!({ "type": anthropic_type_of(status, true), "message": message });
                json!({ "type": "error", "error": error, "request_id": id })
            }
            Self::Gemini => {
                let status = gemini_status_of(status);
                json!({ "error": { "code": code, "message": message, "status": status } })
            }
            Self::Problem | Self::OpenAi => {
                let kind = openai_type_of(status);
                let error =
                    json!({ "message": message, "type": kind, "param": null, "code": code });
                json!({ "error": error, "message": message, "status": code, "request_id": id })
            }
        };
        self.event(&body.to_string())
    }

    /// The body of an error, where it is not the one of problem details.
    fn body(self, reason: Reason, message: &str, id: Option<&str>) -> Option<Bytes> {
        let body = match self {
            Self::Problem | Self::OpenAi => return None,
            Self::Anthropic => serde_json::to_vec(&AnthropicAnswer {
                r#type: "error",
                error: AnthropicError {
                    r#type: anthropic_type(reason),
                    message,
                },
                request_id: id,
            }),
            Self::Gemini => serde_json::to_vec(&GeminiAnswer {
                error: GeminiError {
                    code: reason.status().as_u16(),
                    message,
                    status: gemini_status(reason),
                },
            }),
        };
        // Strings and numbers always serialise.
        body.ok().map(Bytes::from)
    }
}

fn name(headers: &mut HeaderMap, id: Option<&str>) {
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(REQUEST_ID, id);
    }
}

fn should_retry(reason: Reason) -> HeaderValue {
    HeaderValue::from_static(match reason.may_be_tried_again() {
        true => "true",
        false => "false",
    })
}

fn anthropic_type(reason: Reason) -> &'static str {
    anthropic_type_of(reason.status(), reason.may_be_tried_again())
}

fn anthropic_type_of(status: StatusCode, may_be_tried_again: bool) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        StatusCode::SERVICE_UNAVAILABLE if may_be_tried_again => "overloaded_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

fn gemini_status(reason: Reason) -> &'static str {
    gemini_status_of(reason.status())
}

fn gemini_status_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => "UNAVAILABLE",
        status if status.is_server_error() => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    fn told(dialect: Dialect, reason: Reason) -> (Response<Bytes>, Value) {
        let id = RequestId::given(b"id-1").unwrap();
        let answer = problem_of(&Told {
            reason,
            detail: "so it is",
            param: None,
            retry_after: None,
            dialect,
            id: Some(&id),
        });
        let body = serde_json::from_slice(answer.body()).unwrap();
        (answer, body)
    }

    #[test]
    fn each_api_gets_its_own_error_for_every_reason() {
        for reason in Reason::ALL {
            let (answer, body) = told(Dialect::OpenAi, reason);
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(answer.status(), reason.status());
            assert_eq!(body["error"]["message"], "so it is", "{reason:?}");
            assert_eq!(body["error"]["code"], reason.slug());
            assert_eq!(body["status"], reason.status().as_u16());

            let (answer, body) = told(Dialect::Anthropic, reason);
            let kind = anthropic_type(reason);
            let error = json!({ "type": kind, "message": "so it is" });
            let wanted = json!({ "type": "error", "error": error, "request_id": "id-1" });
            assert_eq!(body, wanted);
            assert_eq!(answer.headers()["request-id"], "id-1");
            assert_eq!(answer.status(), reason.status());

            let (_, body) = told(Dialect::Gemini, reason);
            let status = gemini_status(reason);
            let error = json!({ "code": reason.status().as_u16(), "message": "so it is", "status": status });
            assert_eq!(body, json!({ "error": error }));
        }
    }

    #[test]
    fn clients_try_again_what_may_be_better_then_and_nothing_else() {
        let retry = |reason| told(Dialect::OpenAi, reason).0.headers()["x-should-retry"].clone();
        for reason in [
            Reason::QueueFull,
            Reason::QueueTimeout,
            Reason::ConnectFailed,
        ] {
            assert_eq!(retry(reason), "true", "{reason:?}");
        }
        for reason in [Reason::ModelNotFound, Reason::Paused, Reason::BodyTooLarge] {
            assert_eq!(retry(reason), "false", "{reason:?}");
        }
        let (answer, _) = told(Dialect::Problem, Reason::QueueFull);
        assert!(!answer.headers().contains_key("x-should-retry"));
    }
}
