//! From HTTP to HTTPS: the same request, at another port.

use http::{HeaderValue, request::Parts, uri::Authority};

use crate::base::{headers::Forwarding, reason::Reason, refusal::Refusal};

/// Where HTTPS is when an URL says nothing.
const HTTPS_PORT: u16 = 443;

/// Sends a request to HTTPS at `port`, unless the client came by HTTPS to a trusted proxy.
pub(crate) fn check(
    port: u16,
    forwarding: &Forwarding,
    host: &HeaderValue,
    parts: &Parts,
) -> Result<(), Refusal> {
    if forwarding.is_https(&parts.headers) {
        return Ok(());
    }
    let refusal = Refusal::new(
        Reason::HttpsRequired,
        "this address only redirects: use https:// in place of http://",
    );
    // A host that is none was refused before.
    Err(match location(port, host, parts) {
        Some(location) => refusal.elsewhere(location),
        None => refusal,
    })
}

fn location(port: u16, host: &HeaderValue, parts: &Parts) -> Option<HeaderValue> {
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let port = match port {
        HTTPS_PORT => String::new(),
        port => format!(":{port}"),
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // Of `OPTIONS *` as well.
    let slash = if path.starts_with('/') { "" } else { "/" };
    HeaderValue::try_from(format!("https://{host}{port}{slash}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn location_of(port: u16, host: &'static str, target: &str) -> String {
        let (parts, ()) = Request::get(target).body(()).unwrap().into_parts();
        let host = HeaderValue::from_static(host);
        location(port, &host, &parts)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn host_path_and_query_stay_and_the_port_is_that_of_https() {
        assert_eq!(
            location_of(443, "chat.example.org", "/v1/models?a=%20b&c"),
            "https://chat.example.org/v1/models?a=%20b&c"
        );
        assert_eq!(
            location_of(8443, "chat.example.org:8080", "/"),
            "https://chat.example.org:8443/"
        );
        assert_eq!(
            location_of(443, "[::1]:80", "http://[::1]:80/a"),
            "https://[::1]/a"
        );
    }

    #[test]
    fn who_came_by_https_to_a_trusted_proxy_is_not_sent_round_in_circles() {
        let request = Request::get("/").header("x-forwarded-proto", "https");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let host = HeaderValue::from_static("a");
        let peer = [192, 0, 2, 1].into();
        let check = |trusted| {
            let forwarding = Forwarding::new(peer, false, trusted);
            check(443, &forwarding, &host, &parts)
        };
        assert!(check(true).is_ok());
        assert_eq!(check(false).unwrap_err().reason, Reason::HttpsRequired);
    }
}
