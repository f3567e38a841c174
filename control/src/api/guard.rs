//! Keeps web pages away from the admin address.
//!
//! A page in an operator's browser can send requests to an address on loopback. What it must not do:
//!
//! - read answers by giving its own host name the address 127.0.0.1 (DNS rebinding): on loopback
//!   only requests *for* an IP address or `localhost` are answered;
//! - change anything by a form or script from its own origin (CSRF): browsers send `Origin` with
//!   those, our own clients never do, so requests that change something and have it are refused.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::IntoResponse,
};

use super::Problem;

pub(super) fn protect(router: Router, address: SocketAddr) -> Router {
    let on_loopback = address.ip().is_loopback();
    router.layer(middleware::from_fn(
        move |request: Request, next: Next| async move {
            match refuse(
                request.method(),
                request.uri(),
                request.headers(),
                on_loopback,
            ) {
                Some(reason) => Problem::new(StatusCode::FORBIDDEN, reason).into_response(),
                None => next.run(request).await,
            }
        },
    ))
}

/// Why a request is refused, if it is.
fn refuse(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    on_loopback: bool,
) -> Option<&'static str> {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && headers.contains_key(header::ORIGIN) {
        return Some("requests of web pages are not taken here");
    }
    if on_loopback && !is_for_this_machine(uri, headers) {
        return Some("on loopback the host must be an IP address or localhost");
    }
    None
}

fn is_for_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().unwrap_or_default(),
        // HTTP/1.0 without a host cannot come from a browser.
        (None, None, None) => return true,
        _ => return false,
    };
    let name = without_port(host);
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refused(method: Method, host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        refuse(&method, &Uri::from_static("/api/v1/status"), &headers, true).is_some()
    }

    #[test]
    fn a_foreign_host_name_is_refused_on_loopback() {
        for host in [
            "127.0.0.1:9900",
            "[::1]:9900",
            "localhost",
            "LocalHost:80",
            "a.localhost",
            "10.0.0.1",
        ] {
            assert!(!refused(Method::GET, host, None), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9900",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example:80",
        ] {
            assert!(refused(Method::GET, host, None), "{host}");
        }
    }

    #[test]
    fn a_change_asked_for_by_a_web_page_is_refused() {
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9900"] {
            assert!(refused(Method::POST, "127.0.0.1:9900", Some(origin)));
            assert!(!refused(Method::GET, "127.0.0.1:9900", Some(origin)));
        }
        assert!(!refused(Method::POST, "127.0.0.1:9900", None));
    }

    #[test]
    fn two_hosts_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("127.0.0.1"));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(refuse(&Method::GET, &Uri::from_static("/"), &headers, true).is_some());
    }
}
