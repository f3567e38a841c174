//! What requests of the API bring along.

use std::fmt;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

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

/// A JSON object whose errors are problems too. Whatever the content type says: nobody sends anything
/// else here. Every body of a change has `by`, which a caller's token has a say in.
pub(super) struct Body<T>(pub(super) T);

/// The same of what is no change, and has no `by`.
pub(super) struct PlainBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for PlainBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read(&bytes(request, state).await?, None).map(Self)
    }
}

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
    let wrong = |error: &dyn fmt::Display| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the body: {error}"))
    };
    // A struct can be read from an array as well, by the places of its members: then `by` could not be set.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong(&"must be a JSON object"));
    }
    let Some(caller) = caller.filter(|caller| caller.name().is_some()) else {
        return serde_json::from_slice(bytes).map_err(|error| wrong(&error));
    };
    let mut body: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    let said = body.get("by").filter(|by| !by.is_null());
    // What is no text is an error of the body, as it is without a token.
    if said.is_none_or(Value::is_string) {
        let said = said.and_then(Value::as_str).map(str::to_owned);
        body.insert("by".to_owned(), caller.author(said).into());
    }
    serde_json::from_value(body.into()).map_err(|error| wrong(&error))
}

/// What somebody said of a change, if it is neither too long nor nothing. It is shown to others, who must
/// not take a part of it for something else.
fn said(words: Option<String>) -> Result<Option<String>, Problem> {
    let words = words.filter(|words| !words.trim().is_empty());
    let rule = match &words {
        Some(words) if words.len() > WORDS_MAX => {
            format!("`by` and `reason` may have at most {WORDS_MAX} bytes")
        }
        Some(words) if words.chars().any(moves_text) => {
            "`by` and `reason` are one line each, without control characters".to_owned()
        }
        _ => return Ok(words),
    };
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rule))
}

/// Whether a character is not shown but changes how others are: controls, and marks of direction.
fn moves_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_read_is_one_plain_line() {
        let said = |words: &str| said(Some(words.to_owned()));
        assert_eq!(
            said("new GPUs – größer, 日本語"),
            Ok(Some("new GPUs – größer, 日本語".to_owned()))
        );
        assert_eq!(said(" \n"), Ok(None));
        for words in [
            "two\nlines",
            "\u{1b}[31mred",
            "\u{202e}back",
            "bell\u{7}",
            "\u{9b}2J",
        ] {
            assert!(said(words).is_err(), "{words:?}");
        }
        assert!(said(&"x".repeat(WORDS_MAX + 1)).is_err());
    }

    #[test]
    fn only_an_object_is_a_body() {
        let read = |text: &str| read::<Who>(text.as_bytes(), None).map(|who| who.by);
        assert_eq!(read(r#" {"by":"ann"}"#), Ok(Some("ann".to_owned())));
        for text in [
            r#"["ann","forged"]"#,
            "null",
            "\"ann\"",
            "",
            "1",
            "{",
            r#"{"who":1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
