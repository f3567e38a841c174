//! The `Date` of answers (RFC 9110 §6.6.1).
#![allow(clippy::disallowed_methods)] // What it says is the time of day.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header::DATE};

thread_local! {
    /// The second for which it was written last, and how.
    static WRITTEN: RefCell<(u64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
}

/// Says when the answer was made, unless it says so itself.
pub(super) fn add(headers: &mut HeaderMap) {
    if headers.contains_key(DATE) {
        return;
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = WRITTEN.with_borrow_mut(|(written, value)| {
        if *written != second || value.is_none() {
            *written = second;
            *value = HeaderValue::try_from(httpdate::fmt_http_date(now)).ok();
        }
        value.clone()
    });
    if let Some(date) = date {
        headers.insert(DATE, date);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gets_a_date_and_keeps_its_own() {
        let mut headers = HeaderMap::new();
        add(&mut headers);
        let date = headers[DATE].to_str().unwrap();
        let told = httpdate::parse_http_date(date).unwrap();
        let passed = SystemTime::now().duration_since(told).unwrap();
        assert!(passed.as_secs() < 60, "{date}");
        headers.insert(DATE, HeaderValue::from_static("its own"));
        add(&mut headers);
        assert_eq!(headers[DATE], "its own");
    }
}
