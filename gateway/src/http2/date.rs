//! The `Date` of answers (RFC 9110 §6.6.1).

use http::{HeaderMap, HeaderValue, header::DATE};

use crate::base::date;

/// Says when the answer was made, unless it says so itself.
pub(super) fn add(headers: &mut HeaderMap) {
    if !headers.contains_key(DATE) {
        let date = HeaderValue::from_bytes(&date::now());
        headers.extend(date.ok().map(|date| (DATE, date)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gets_a_date_and_keeps_its_own() {
        let mut headers = HeaderMap::new();
        add(&mut headers);
        assert!(headers.contains_key(DATE));
        headers.insert(DATE, HeaderValue::from_static("its own"));
        add(&mut headers);
        assert_eq!(headers[DATE], "its own");
    }
}
