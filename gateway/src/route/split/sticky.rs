//! Binding a client to the deployment it was sent to first.

use http::HeaderValue;
use penstock_balancer::key;
use penstock_config::{KeySource, Sticky};

use crate::request::request_key::RequestHead;

/// The hash that binds the request to a deployment and, when the client has no cookie yet, the one
/// that gives it this hash.
///
/// A cookie of 128 random bits tells nothing about the client or the deployment: which one it leads
/// to follows from the weights in force.
pub(super) fn binding(
    sticky: &Sticky,
    head: &RequestHead<'_>,
) -> (Option<u64>, Option<HeaderValue>) {
    match (&sticky.by, head.hash(&sticky.by)) {
        (KeySource::Cookie(name), None) => {
            let value = format!("{:032x}", rand::random::<u128>());
            let cookie = set_cookie(name, &value, sticky, head.is_https());
            (Some(key(value.as_bytes())), Some(cookie))
        }
        (_, hash) => (hash, None),
    }
}

/// `Set-Cookie` (RFC 6265 §4.1). Scripts have no use for it, and other sites' requests are sent it
/// only when they lead here (`Lax`).
fn set_cookie(name: &str, value: &str, sticky: &Sticky, https: bool) -> HeaderValue {
    let mut cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
    if let Some(max_age) = sticky.max_age {
        cookie.push_str(&format!("; Max-Age={}", max_age.as_secs()));
    }
    if https {
        cookie.push_str("; Secure");
    }
    HeaderValue::try_from(cookie).expect("a checked cookie name is a token, and the rest is ASCII")
}
