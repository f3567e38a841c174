//! Who the client is when proxies stand between: the reading side of `X-Forwarded-*` and `Forwarded`.

use std::net::{IpAddr, SocketAddr};

use super::{Fields, list};

const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The address of the client whose request came from the trusted `peer`.
///
/// Every proxy appends the address it got the request from, so the list is read from its end: the first
/// address that is no trusted proxy's is the client's, and whatever stands before it is only what that
/// client claims. `X-Forwarded-For` counts when it is there, `Forwarded` otherwise. Where the list ends
/// or a proxy names nobody (`unknown`), the last address that is certain counts.
pub(crate) fn client_address(
    fields: &impl Fields,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let in_list = |name: &str, address: fn(&[u8]) -> Option<IpAddr>| {
        let mut known = peer;
        for member in fields.all(name).flat_map(list::members).rev() {
            let Some(address) = address(member) else {
                break;
            };
            known = address.to_canonical();
            if !is_trusted(known) {
                break;
            }
        }
        known
    };
    if fields.has(X_FORWARDED_FOR) {
        in_list(X_FORWARDED_FOR, address)
    } else {
        in_list(FORWARDED, |element| address(parameter(element, b"for")?))
    }
}

/// Whether a trusted proxy says that the client came by HTTPS.
pub(super) fn came_by_https(fields: &impl Fields) -> bool {
    let first = |name: &str| {
        let line = fields.first(name);
        line.and_then(|line| list::members(line).next())
    };
    let proto = match first(X_FORWARDED_PROTO) {
        Some(proto) => Some(proto),
        None => first(FORWARDED).and_then(|element| parameter(element, b"proto")),
    };
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok();
    let plain = text.parse().ok();
    plain
        .or_else(bracketed)
        .or_else(|| with_port().map(|address| address.ip()))
}

/// The value of a parameter of one element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    element.split(|byte| *byte == b';').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (given, value) = (pair.get(..at)?, pair.get(at + 1..)?.trim_ascii());
        let quoted = || value.strip_prefix(b"\"")?.strip_suffix(b"\"");
        given
            .trim_ascii()
            .eq_ignore_ascii_case(name)
            .then(|| quoted().unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// The client behind 10.0.0.9, where all of 10.0.0.0/8 is trusted.
    fn client(lines: &[(&'static str, &str)]) -> String {
        let trusted =
            |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);
        client_address(&headers(lines), [10, 0, 0, 9].into(), trusted).to_string()
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
        for (list, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1, 10.0.0.2, 10.0.0.1", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", list)]), expected, "{list}");
        }
        let lines = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "192.0.2.2, 10.0.0.1"),
        ];
        assert_eq!(client(&lines), "192.0.2.2");
    }

    #[test]
    fn where_nobody_is_named_the_last_certain_address_counts() {
        assert_eq!(client(&[]), "10.0.0.9");
        assert_eq!(client(&[("x-forwarded-for", "")]), "10.0.0.9");
        let unknown = "192.0.2.1, unknown, 10.0.0.1";
        assert_eq!(client(&[("x-forwarded-for", unknown)]), "10.0.0.1");
    }

    #[test]
    fn the_standard_field_counts_when_it_is_the_only_one() {
        let standard = r#"for=192.0.2.60;proto=http, For="[2001:db8:cafe::17]:4711" ; by=10.0.0.1"#;
        assert_eq!(client(&[("forwarded", standard)]), "2001:db8:cafe::17");
        assert_eq!(client(&[("forwarded", "for=_hidden")]), "10.0.0.9");
        let both = [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.2"),
        ];
        assert_eq!(client(&both), "192.0.2.2");
    }

    #[test]
    fn https_is_what_the_first_proxy_saw() {
        for (name, value, expected) in [
            ("x-forwarded-proto", "https", true),
            ("x-forwarded-proto", "HTTPS, http", true),
            ("x-forwarded-proto", "http, https", false),
            (
                "forwarded",
                "for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",
                true,
            ),
            ("forwarded", "for=192.0.2.1", false),
        ] {
            let headers = headers(&[(name, value)]);
            assert_eq!(came_by_https(&headers), expected, "{value}");
        }
    }
}
