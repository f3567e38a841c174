//! From HTTP to HTTPS: the same request, at another port.

use http::{HeaderValue, uri::Authority};

use crate::base::{reason::Reason, refusal::Refusal};

/// Where HTTPS is when an URL says nothing.
const HTTPS_PORT: u16 = 443;

/// Sends a request for `target`, a path with its query, to HTTPS at `port`.
pub(crate) fn refusal(port: u16, host: &str, target: &str) -> Refusal {
    let refusal = Refusal::new(
        Reason::HttpsRequired,
        "this address only redirects: use https:// in place of http://",
    );
    // A host that is none was refused before.
    match location(port, host, target) {
        Some(location) => refusal.elsewhere(location),
        None => refusal,
    }
}

fn location(port: u16, host: &str, path: &str) -> Option<HeaderValue> {
    let authority: Authority = host.parse().ok()?;
    let host = authority.host();
    let port = match port {
        HTTPS_PORT => String::new(),
        port => format!(":{port}"),
    };
    // Of `OPTIONS *` as well.
    let slash = if path.starts_with('/') { "" } else { "/" };
    HeaderValue::try_from(format!("https://{host}{port}{slash}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_path_and_query_stay_and_the_port_is_that_of_https() {
        for (port, host, target, expected) in [
            (
                443,
                "chat.example.org",
                "/v1/models?a=%20b&c",
                "https://chat.example.org/v1/models?a=%20b&c",
            ),
            (
                8443,
                "chat.example.org:8080",
                "/",
                "https://chat.example.org:8443/",
            ),
            (443, "[::1]:80", "/a", "https://[::1]/a"),
            (443, "a", "*", "https://a/*"),
        ] {
            let refusal = refusal(port, host, target);
            assert_eq!(refusal.reason, Reason::HttpsRequired);
            assert_eq!(refusal.rare().unwrap().location.clone().unwrap(), expected);
        }
    }
}
