//! Keeps web pages away from the admin address.
//!
//! A page in somebody's browser can send requests to wherever that browser can. What it must not do:
//!
//! - read answers by giving its own host name our address (DNS rebinding): only requests for an IP
//!   address, for `localhost` or for a name of `admin.hosts` are answered;
//! - ask for anything from an origin of its own (CSRF): browsers send `Origin` with whatever changes
//!   something and whatever a script reads. Our own clients never do, and one that is there must be
//!   the very host that is asked;
//! - make the browser ask without reading the answer, as for an image, which would hold one of the few
//!   places of those who watch events: browsers say in `Sec-Fetch-Site` that another site asks. Only
//!   following a link to here is allowed.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::IntoResponse,
};

use super::Problem;

/// What every answer tells a browser.
const ON_EVERYTHING: [(HeaderName, &str); 5] = [
    // What a worker wrote must not become a page of this origin.
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Nothing here runs, loads or is framed; the console's own pages say what they need.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Answers only what may be answered; `hosts` are names that lead here, in lower case.
pub(super) fn protect(router: Router, hosts: &[String]) -> Router {
    let hosts: Arc<[String]> = hosts.into();
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let hosts = Arc::clone(&hosts);
        async move {
            let refused = refuse(request.uri(), request.headers(), &hosts);
            let mut answer = match refused {
                Some(reason) => Problem::new(StatusCode::FORBIDDEN, reason).into_response(),
                None => next.run(request).await,
            };
            for (name, value) in ON_EVERYTHING {
                let value = HeaderValue::from_static(value);
                answer.headers_mut().entry(name).or_insert(value);
            }
            answer
        }
    }))
}

/// Why a request is refused, if it is.
fn refuse(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Option<String> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (_, _, Some(_)) => return Some("the request names two hosts".to_owned()),
        (Some(authority), _, None) => Some(authority.as_str()),
        (None, Some(host), None) => Some(host.to_str().unwrap_or_default()),
        // HTTP/1.0 without a host cannot come from a browser.
        (None, None, None) => None,
    };
    if let Some(host) = host.filter(|host| !is_ours(host, hosts)) {
        return Some(format!(
            "the host must be an IP address, localhost or a name of admin.hosts, not {host}"
        ));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_foreign = origins.any(|origin| !host.is_some_and(|host| is_origin_of(origin, host)));
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    let is_embedded = says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate");
    (is_foreign || is_embedded).then(|| "requests of other web pages are not taken here".to_owned())
}

fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = without_port(host);
    let bare = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || bare == "localhost"
        || bare.ends_with(".localhost")
        || hosts.contains(&bare)
}

/// Whether an `Origin` is that of a page which came from `host`.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some(bracketed) = host.strip_prefix('[') {
        let (name, port) = bracketed.split_once(']').unwrap_or_default();
        let is_port = port.is_empty() || port.starts_with(':');
        return if is_port { name } else { host };
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(hosts: &[&'static str], origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let names = ["gpu.example.org".to_owned()];
        refuse(&Uri::from_static("/api/v1/status"), &headers, &names).is_some()
    }

    #[test]
    fn only_addresses_localhost_and_configured_names_are_answered() {
        for host in [
            "127.0.0.1:9900",
            "[::1]:9900",
            "localhost",
            "LocalHost:80",
            "a.localhost",
            "10.0.0.1",
            "GPU.example.org:9900",
            "gpu.example.org.",
        ] {
            assert!(!refused(&[host], None), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9900",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example:80",
            "a.gpu.example.org",
            "[::1].evil.example",
            "[::1",
        ] {
            assert!(refused(&[host], None), "{host}");
        }
        assert!(!refused(&[], None), "no browser leaves the host out");
    }

    #[test]
    fn whatever_a_page_of_another_origin_asks_for_is_refused() {
        let host = "127.0.0.1:9900";
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9901",
            "http://localhost:9900",
            "ftp://127.0.0.1:9900",
            "",
        ] {
            assert!(refused(&[host], Some(origin)), "{origin}");
            assert!(refused(&[], Some(origin)), "{origin}");
        }
        assert!(!refused(&[host], Some("http://127.0.0.1:9900")));
        let https = Some("https://gpu.example.org");
        assert!(!refused(&["gpu.example.org"], https));
    }

    #[test]
    fn another_site_may_link_to_here_and_do_nothing_else() {
        let asks = |site: &'static str, mode: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:9900"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            refuse(&Uri::from_static("/api/v1/events"), &headers, &[]).is_none()
        };
        assert!(asks("cross-site", "navigate"));
        assert!(!asks("cross-site", "no-cors"));
        assert!(asks("same-origin", "cors"));
        assert!(asks("none", "navigate"));
    }

    #[test]
    fn two_hosts_are_refused() {
        assert!(refused(&["127.0.0.1", "evil.example"], None));
        assert!(refused(&["127.0.0.1", "127.0.0.1"], None));
    }
}
