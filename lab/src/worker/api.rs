//! What all OpenAI-style endpoints have in common: how a body is read, errors, usage.

use axum::{
    Json,
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    engine::Engine,
    text::{Length, hash},
};

/// Most tokens of prompt and answer together.
pub(super) const CONTEXT_TOKENS: u64 = 131_072;

/// An error in OpenAI's form.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::bad_request(message)
        }
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request_error",
            message,
        )
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request_error",
            "this path does not take this method",
        )
    }

    pub(super) fn loading() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "the model is loading",
        )
    }

    pub(super) fn asked_to_fail() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "CUDA error: an illegal memory access was encountered (simulated by --fail-after)",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }});
        (self.status, Json(body)).into_response()
    }
}

/// Ends an answer as if the worker had died.
pub(super) fn broken() -> axum::Error {
    axum::Error::new("broken off (simulated by --break-after)")
}

/// Reads a JSON body, whatever its `Content-Type`: `curl -d` calls everything a form.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ApiError::unprocessable(error.to_string()),
        _ => ApiError::bad_request(format!("the body is not JSON: {error}")),
    })
}

impl Engine {
    /// Whether the model asked for, if any, is the one that is here.
    pub(super) fn check_model(&self, asked: Option<&str>) -> Result<(), ApiError> {
        match asked {
            Some(name) if name != self.model => Err(ApiError {
                param: Some("model"),
                code: Some("model_not_found"),
                ..ApiError::not_found(format!("the model `{name}` does not exist"))
            }),
            _ => Ok(()),
        }
    }
}

/// How long an answer may be; the fields have these names in every endpoint that generates.
#[derive(Debug, Deserialize)]
pub(super) struct Limits {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    /// vLLM's: go on until `max_tokens`.
    #[serde(default)]
    ignore_eos: bool,
    n: Option<u64>,
}

impl Limits {
    /// The same, with an answer length for requests that name none.
    pub(super) fn with_default(mut self, max_tokens: u64) -> Self {
        self.max_tokens = self.max_tokens.or(Some(max_tokens));
        self
    }

    pub(super) fn check(&self, prompt_tokens: u64) -> Result<Length, ApiError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(ApiError::invalid(
                "n",
                "only one answer per request is supported",
            ));
        }
        let room = CONTEXT_TOKENS.saturating_sub(prompt_tokens);
        let asked = self.max_completion_tokens.or(self.max_tokens);
        if asked == Some(0) {
            return Err(ApiError::invalid(
                "max_tokens",
                "max_tokens must be at least 1",
            ));
        }
        if room == 0 || asked.is_some_and(|asked| asked > room) {
            let tokens = prompt_tokens.saturating_add(asked.unwrap_or(1));
            return Err(ApiError {
                code: Some("context_length_exceeded"),
                ..ApiError::invalid(
                    "max_tokens",
                    format!(
                        "the context holds {CONTEXT_TOKENS} tokens, but {tokens} were requested"
                    ),
                )
            });
        }
        Ok(Length {
            max_tokens: asked.unwrap_or(room),
            ignore_end: self.ignore_eos,
        })
    }
}

/// How a stream of tokens is wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    /// Whether a last chunk tells the usage.
    #[serde(default)]
    pub(super) include_usage: bool,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    /// Of the prompt, those that were in the cache.
    pub(super) cached: u64,
    pub(super) generated: u64,
    /// Of the answer, those that are thoughts.
    pub(super) reasoning: u64,
}

impl Usage {
    /// As Messages tell it.
    pub(super) fn without_reasoning(self) -> Self {
        Self {
            reasoning: 0,
            ..self
        }
    }

    /// Under the names of chat completions.
    pub(super) fn to_openai(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.generated,
            "total_tokens": self.prompt + self.generated,
            "prompt_tokens_details": { "cached_tokens": self.cached },
            "completion_tokens_details": { "reasoning_tokens": self.reasoning },
        })
    }

    /// Under the names of Responses.
    pub(super) fn to_responses(self) -> Value {
        json!({
            "input_tokens": self.prompt,
            "input_tokens_details": { "cached_tokens": self.cached },
            "output_tokens": self.generated,
            "output_tokens_details": { "reasoning_tokens": self.reasoning },
            "total_tokens": self.prompt + self.generated,
        })
    }

    /// Under the names of Messages, whose input leaves out what was cached.
    pub(super) fn to_anthropic(self) -> Value {
        json!({
            "input_tokens": self.prompt - self.cached,
            "cache_read_input_tokens": self.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": self.generated,
        })
    }
}

/// Identity of an answer: its kind, when, and which.
#[derive(Debug, Clone)]
pub(super) struct AnswerHead {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

impl AnswerHead {
    pub(super) fn new(prefix: &str, engine: &Engine, prompt: &str) -> Self {
        #[allow(clippy::disallowed_methods, reason = "answers carry the time of day")]
        let created = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let id = hash(&format!("{prompt}{}", created.as_nanos()));
        Self {
            id: format!("{prefix}-{id:016x}"),
            created: created.as_secs(),
            model: engine.model.clone(),
        }
    }
}
