//! Removal of the fields that concern one connection only (RFC 9110 §7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, EXPECT, Entry, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
};

use super::{list, own};

/// Removes what ends here from a request. `Expect` is among it, because the gateway itself is the
/// one that answers `100-continue`.
pub(super) fn remove_from_request(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_where(headers, |name| match *name {
        TE | TRANSFER_ENCODING | UPGRADE | EXPECT | PROXY_AUTHORIZATION => true,
        _ => ends_here(name),
    });
}

/// Removes what ends here from a response, and what only the gateway itself may say.
pub(super) fn remove_from_response(headers: &mut HeaderMap) {
    remove_nominated(headers);
    remove_where(headers, |name| match *name {
        TE | TRANSFER_ENCODING | UPGRADE | PROXY_AUTHENTICATE => true,
        _ => is_unregistered_hop_by_hop(name) || own::is_own(name),
    });
}

/// Names of fields that end here on the way up, beside those that the standard defines.
pub(super) fn ends_here(name: &HeaderName) -> bool {
    is_unregistered_hop_by_hop(name) || looks_like_framing(name)
}

/// Hop-by-hop names that are in no current registry but in use.
fn is_unregistered_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "http2-settings"
    )
}

/// Names that CGI-like workers (WSGI) cannot tell from those that say where a body ends.
fn looks_like_framing(name: &HeaderName) -> bool {
    matches!(name.as_str(), "content_length" | "transfer_encoding")
}

/// Removes every matching field. It looks again from the start after each, which costs nothing for
/// the usual message with none or one of them and needs no memory for their names.
fn remove_where(headers: &mut HeaderMap, matches: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| matches(name)).cloned() {
        headers.remove(name);
    }
}

/// Removes `Connection` and the fields that it names, but for those no peer may have removed.
fn remove_nominated(headers: &mut HeaderMap) {
    let one_option = |value: &HeaderValue| is_option(value.as_bytes());
    match headers.entry(CONNECTION) {
        Entry::Vacant(_) => return,
        // The usual case: `keep-alive`, `close` or `upgrade` and nothing else.
        Entry::Occupied(entry) if entry.iter().all(one_option) => {
            entry.remove_entry_mult();
            return;
        }
        Entry::Occupied(_) => {}
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| list::members(line.as_bytes()))
        .filter(|member| !is_option(member))
        .filter_map(|member| HeaderName::from_bytes(member).ok())
        .filter(|name| !is_protected(name.as_str()))
        .collect();
    headers.remove(CONNECTION);
    for name in nominated {
        headers.remove(name);
    }
}

/// Connection options that name no field, or one that is removed in any case.
pub(crate) fn is_option(member: &[u8]) -> bool {
    ["keep-alive", "close", "upgrade", "te"]
        .iter()
        .any(|option| member.eq_ignore_ascii_case(option.as_bytes()))
}

/// Fields that stay although `Connection` names them. They are meant for the far end, and without
/// them a request would mean something else there: other framing, another host, no credentials, no
/// trace of the client's address. RFC 9110 forbids senders to name such fields; some do it to get
/// past a proxy in front.
pub(crate) fn is_protected(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "set-cookie",
        "traceparent",
        "tracestate",
        "trailer",
    ];
    const PREFIXES: [&str; 4] = ["grpc-", "x-forwarded-", "x-real-", "x-request-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALWAYS_REMOVED: [&str; 7] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ];

    fn message(lines: &[(String, String)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::try_from(value).unwrap(),
                )
            })
            .collect()
    }

    /// Names that mean something here beside some that do not, in any case.
    fn name() -> impl Strategy<Value = String> {
        let known = prop::sample::select(
            [
                &ALWAYS_REMOVED[..],
                &[
                    "host",
                    "content-length",
                    "x-forwarded-for",
                    "authorization",
                    "x-a",
                    "x-b",
                ],
            ]
            .concat(),
        );
        prop_oneof![
            known.clone().prop_map(str::to_owned),
            known.prop_map(str::to_ascii_uppercase),
            "[a-zA-Z][a-zA-Z0-9-]{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn no_hop_by_hop_field_passes_and_no_protected_one_is_lost(
            fields in prop::collection::vec((name(), "[ -~]{0,12}"), 0..12),
            connections in prop::collection::vec(
                prop::collection::vec(name(), 0..5).prop_map(|names| names.join(" ,\t")), 0..3),
        ) {
            let mut lines = fields;
            lines.extend(connections.iter().map(|list| ("Connection".to_owned(), list.clone())));
            let before = message(&lines);
            for clean in [remove_from_request, remove_from_response] {
                let mut after = before.clone();
                clean(&mut after);
                for name in ALWAYS_REMOVED {
                    prop_assert!(!after.contains_key(name), "{name}");
                }
                let nominated = |name: &HeaderName| list::any(&before, &CONNECTION, |member| {
                    member.eq_ignore_ascii_case(name.as_str().as_bytes())
                });
                for name in before.keys() {
                    let ends = ALWAYS_REMOVED.contains(&name.as_str());
                    if is_protected(name.as_str()) || !(ends || nominated(name)) {
                        prop_assert!(before.get_all(name).iter().eq(after.get_all(name)), "{name}");
                    } else {
                        prop_assert!(!after.contains_key(name), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_worker_that_reads_underscores_as_hyphens_sees_one_framing_only() {
        let lines = [("content_length", "5"), ("Transfer_Encoding", "chunked")];
        let mut headers = message(&lines.map(|(name, value)| (name.to_owned(), value.to_owned())));
        remove_from_request(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn each_direction_loses_its_own_proxy_fields() {
        let both = || {
            HeaderMap::from_iter([
                (PROXY_AUTHENTICATE, HeaderValue::from_static("Basic")),
                (PROXY_AUTHORIZATION, HeaderValue::from_static("Basic eA==")),
                (EXPECT, HeaderValue::from_static("100-continue")),
            ])
        };
        let mut request = both();
        remove_from_request(&mut request);
        assert!(request.keys().eq([PROXY_AUTHENTICATE].iter()));
        let mut response = both();
        remove_from_response(&mut response);
        assert!(!response.contains_key(PROXY_AUTHENTICATE));
    }
}
