//! What requests of the API bring along.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Problem, access::Caller};

/// Longest name of a person, and longest reason, in bytes.
const WORDS_MAX: usize = 500;

/// Who asks for a change, and why, as far as they say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Who {
    pub(super) by: Option<String>,
    pub(super) reason: Option<String>,
}

impl Who {
    /// Both, if they are not too long.
    pub(super) fn said(self) -> Result<(Option<String>, Option<String>), Problem> {
        Ok((said(self.by)?, said(self.reason)?))
    }
}

/// A body of JSON whose errors are problems too. Whatever the content type says: nobody sends
/// anything else here. Every body of a change has `by`, which a caller's token has a say in.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let caller = request.extensions().get::<Caller>().cloned();
        let bytes = bytes(request, state).await?;
        read(&bytes, caller.as_ref()).map(Self)
    }
}

/// The same, of which nothing need be said.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let caller = request.extensions().get::<Caller>().cloned();
        let bytes = bytes(request, state).await?;
        let bytes = if bytes.is_empty() { b"{}" } else { &*bytes };
        read(bytes, caller.as_ref()).map(Self)
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|error| Problem::new(error.status(), error.body_text()))
}

fn read<T: DeserializeOwned>(bytes: &[u8], caller: Option<&Caller>) -> Result<T, Problem> {
    let wrong = |error| Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}"));
    let Some(caller) = caller.filter(|caller| caller.name().is_some()) else {
        return serde_json::from_slice(bytes).map_err(wrong);
    };
    let mut body: Value = serde_json::from_slice(bytes).map_err(wrong)?;
    if let Value::Object(members) = &mut body {
        let said = members.get("by").filter(|by| !by.is_null());
        // What is no text is an error of the body, as it is without a token.
        if said.is_none_or(Value::is_string) {
            let said = said.and_then(Value::as_str).map(str::to_owned);
            members.insert("by".to_owned(), caller.author(said).into());
        }
    }
    serde_json::from_value(body).map_err(wrong)
}

/// What somebody said of a change, if it is neither too long nor nothing.
fn said(words: Option<String>) -> Result<Option<String>, Problem> {
    let words = words.filter(|words| !words.trim().is_empty());
    if words.as_ref().is_some_and(|words| words.len() > WORDS_MAX) {
        let rule = format!("`by` and `reason` may have at most {WORDS_MAX} bytes");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rule));
    }
    Ok(words)
}
