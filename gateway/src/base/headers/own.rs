//! Fields named `x-penstock-…`. They are the gateway's word, so nobody else's get through: neither a
//! client's to a worker nor a worker's to a client.

use http::{HeaderMap, HeaderName};

use super::X_PENSTOCK_MIRROR;

const PREFIX: &[u8] = b"x-penstock-";

/// Whether a field has the gateway's prefix, also with underscores, which CGI-like workers (WSGI) cannot
/// tell from hyphens.
pub(super) fn is_own(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    name.len() >= PREFIX.len()
        && PREFIX
            .iter()
            .zip(name)
            .all(|(p, n)| p == n || (*p == b'-' && *n == b'_'))
}

/// Removes them. A trusted proxy is another gateway perhaps, whose copies stay copies.
pub(super) fn remove(headers: &mut HeaderMap, is_trusted: bool) {
    let stays = |name: &HeaderName| is_trusted && name == X_PENSTOCK_MIRROR;
    // Names in a list, because a client may send very many of them.
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_own(name) && !stays(name))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_with_the_gateways_prefix_stays_but_the_mark_of_a_trusted_copy() {
        let sent = [
            "x-penstock-mirror",
            "x-penstock-reason",
            "x_penstock_queue_eta",
            "x-penstock",
            "x-penstockish",
            "accept",
        ];
        let left = |is_trusted| {
            let mut headers: HeaderMap = sent
                .iter()
                .map(|name| (HeaderName::from_static(name), "1".parse().unwrap()))
                .collect();
            remove(&mut headers, is_trusted);
            headers
                .keys()
                .map(HeaderName::to_string)
                .collect::<BTreeSet<_>>()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut others: BTreeSet<String> = names(&["x-penstock", "x-penstockish", "accept"]);
        assert_eq!(left(false), others);
        others.insert("x-penstock-mirror".to_owned());
        assert_eq!(left(true), others);
    }
}
