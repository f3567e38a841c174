//! Hosts, host names, and paths of URLs.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of an URL that names none.
const HTTPS_PORT: u16 = 443;

/// Longest DNS name (RFC 1035, 2.3.4, less the length octets).
const NAME_LEN_MAX: usize = 253;

/// Host of a URL, as a `Host` header may hold it: lower case, without port and without the dot that
/// ends a full name. Or a wildcard, `*.example.org`.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    if text.contains("//") || text.contains('/') {
        return Err("must be a host name alone, without scheme and path".to_owned());
    }
    if text == "*" {
        return Err(
            "must be a host name; a service for hosts that no service names has `default = true`"
                .to_owned(),
        );
    }
    if let Some(end) = text.strip_prefix("*.").filter(|end| !end.contains('*')) {
        return Ok(format!("*.{}", parse_name(end)?));
    }
    if text.contains('*') {
        return Err(
            "may have a star only in place of its first part: \"*.example.org\"".to_owned(),
        );
    }
    let (host, port) = split_port(text);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("must have a port of 0 to 65535, or better none".to_owned());
    }
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        let address: Ipv6Addr = inner
            .parse()
            .map_err(|_| "must have an IPv6 address in the brackets")?;
        return Ok(format!("[{address}]"));
    }
    check_name(host)
}

/// `host:port` to connect to.
pub(super) fn parse_authority(text: &str) -> Result<String, String> {
    let rule = "must be host and port, such as \"10.0.0.5:8000\", \"[::1]:8000\" or \"gpu1:8000\"";
    let (host, Some(port)) = split_port(text) else {
        return Err(rule.to_owned());
    };
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err("must have a port of 1 to 65535".to_owned());
    }
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner
            .parse::<Ipv6Addr>()
            .map(drop)
            .map_err(|_| rule.to_owned())?,
        None => drop(check_name(host).map_err(|_| rule)?),
    }
    Ok(text.to_owned())
}

/// Where a worker is reached, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkerUrl {
    /// `host:port`.
    pub(crate) authority: String,
    /// By TLS.
    pub(crate) https: bool,
}

/// `host:port`, or `https://` with host and maybe a port.
pub(super) fn parse_worker(text: &str) -> Result<WorkerUrl, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let authority = parse_authority(text)?;
        return Ok(WorkerUrl {
            authority,
            https: false,
        });
    };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err("must be host and port, without http://, or begin with https://".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err("must have no path: requests keep theirs".to_owned());
    }
    let authority = match split_port(rest) {
        (_, Some(_)) => parse_authority(rest)?,
        (_, None) => parse_authority(&format!("{rest}:{HTTPS_PORT}"))?,
    };
    Ok(WorkerUrl {
        authority,
        https: true,
    })
}

/// As it is written.
pub(super) fn show_worker(url: &WorkerUrl) -> String {
    match url.https {
        true => format!("https://{}", url.authority),
        false => url.authority.clone(),
    }
}

/// One part of a host name.
pub(super) fn parse_label(text: &str) -> Result<String, String> {
    if is_label(text) && !text.contains('_') {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be 1 to 63 of a-z, 0-9 and hyphens, not at an end".to_owned())
    }
}

/// A host name without port that is no address.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    if text.contains(':') || text.parse::<Ipv4Addr>().is_ok() {
        return Err("must be a host name, not an address, without a port".to_owned());
    }
    check_name(text)
}

/// Path of a URL: `/` and what may follow it.
pub(super) fn parse_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("must begin with /".to_owned());
    }
    let clean = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if clean && http::uri::PathAndQuery::try_from(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("must be a URL path: other characters are written as %20 and so on".to_owned())
    }
}

/// Splits `host:port`, leaving the colons of a bracketed IPv6 address alone.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn check_name(name: &str) -> Result<String, String> {
    if !name.is_ascii() {
        return Err("must be in ASCII; write other scripts in their xn-- form".to_owned());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > NAME_LEN_MAX {
        return Err(format!("must be at most {NAME_LEN_MAX} characters long"));
    }
    if name.split('.').all(is_label) {
        Ok(name.to_ascii_lowercase())
    } else {
        Err("must be a host name such as \"chat.example.org\"".to_owned())
    }
}

/// A DNS label, with the underscore that names inside container networks may have.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_lower_case_without_port_and_last_dot() {
        for (text, host) in [
            ("Chat.Example.org", "chat.example.org"),
            ("chat.example.org:8080", "chat.example.org"),
            ("chat.example.org.", "chat.example.org"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::0001]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("my_worker", "my_worker"),
            ("*.Example.org.", "*.example.org"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(host), "{text}");
        }
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a b",
            "http://a",
            "a/",
            "*",
            "*.",
            "a.*",
            "*a.org",
            "*.*.org",
            "*.10.0.0.1",
            "*.a:80",
            "ä.org",
            "a:x",
            "::1",
            "[a]",
            "[]",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_has_a_host_and_a_port() {
        for text in [
            "10.0.0.5:8000",
            "[::1]:8000",
            "gpu1:8000",
            "gpu_1.example.org:1",
        ] {
            assert_eq!(parse_authority(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            ":8000",
            "gpu1",
            "gpu1:0",
            "gpu1:99999",
            "gpu1:",
            "::1:8000",
            "http://a:1",
        ] {
            assert!(parse_authority(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_begins_with_a_slash_and_needs_no_escaping() {
        for text in ["/", "/v1/", "/health?deep=1", "/a%20b"] {
            assert_eq!(parse_path(text).as_deref(), Ok(text));
        }
        for text in ["", "v1", "/a b", "/#x", "/ä", "/\n"] {
            assert!(parse_path(text).is_err(), "{text}");
        }
    }
}
