//! Parts of an HTTP request: names of headers, cookies and query parameters, and methods.

/// Name of a header, in lower case.
pub(super) fn parse_header_name(text: &str) -> Result<String, String> {
    http::HeaderName::try_from(text)
        .map(|name| name.as_str().to_owned())
        .map_err(|_| "must be the name of an HTTP header, such as \"x-user\"".to_owned())
}

/// Name of a cookie, which is a token too (RFC 6265 §4.1.1), but one with upper and lower case.
pub(super) fn parse_cookie_name(text: &str) -> Result<String, String> {
    match http::HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be the name of a cookie, such as \"user\"".to_owned()),
    }
}

/// Name of a query parameter as it stands in URLs.
pub(super) fn parse_query_name(text: &str) -> Result<String, String> {
    let rule = "must be the name of a query parameter, such as \"user\"";
    let clean = |b: u8| b.is_ascii_graphic() && !b"&=#".contains(&b);
    if text.is_empty() {
        Err(rule.to_owned())
    } else if text.bytes().all(clean) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{rule}; other characters are written as %20 and so on"
        ))
    }
}

/// A method: upper and lower case differ, and nobody means "get".
pub(super) fn parse_method(text: &str) -> Result<String, String> {
    let capital = text.to_ascii_uppercase();
    if http::Method::try_from(text).is_err() {
        Err("must be an HTTP method, such as \"POST\"".to_owned())
    } else if text != capital {
        Err(format!("must be in capitals: \"{capital}\""))
    } else {
        Ok(capital)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_lower_case_and_cookie_names_stay_as_they_are() {
        assert_eq!(parse_header_name("X-User").as_deref(), Ok("x-user"));
        assert_eq!(parse_cookie_name("User_1").as_deref(), Ok("User_1"));
        for text in ["", "a b", "a=b", "a;b", "ä", ":path", "a,b", "\"a\""] {
            assert!(parse_header_name(text).is_err(), "{text}");
            assert!(parse_cookie_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_query_name_is_written_as_in_a_url() {
        for text in ["user", "user%20id", "filter[a]", "Ab.c-d_e"] {
            assert_eq!(parse_query_name(text).as_deref(), Ok(text));
        }
        for text in ["", "a=b", "a&b", "a b", "ä", "#a"] {
            assert!(parse_query_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn methods_are_in_capitals() {
        for text in ["GET", "POST", "M-SEARCH"] {
            assert_eq!(parse_method(text).as_deref(), Ok(text));
        }
        for text in ["", "get", "Post", "GET /", "G=T"] {
            assert!(parse_method(text).is_err(), "{text}");
        }
    }
}
