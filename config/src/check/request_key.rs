//! Where a key of a request is read from, wherever a setting says so.

use super::Check;
use crate::{Access, KeySource, key_path::KeyPath, raw};

/// The sources of a table that may hold several, each under its key; exactly one must be there.
/// When none is, there is an error, and the client's address stands in.
pub(super) fn one_source<const N: usize>(
    check: &mut Check<'_>,
    path: &KeyPath,
    sources: [(&str, Option<KeySource>); N],
) -> KeySource {
    let given = sources
        .each_ref()
        .map(|(key, source)| (*key, source.is_some()));
    check.exactly_one(path, &given);
    let mut sources = sources.into_iter().filter_map(|(_, source)| source);
    sources.next().unwrap_or(KeySource::ClientAddress)
}

/// What tells requests apart. API keys only do so where there are some: `access` says so, where that
/// is a question.
pub(super) fn request_key(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::RequestKey,
    keys_path: &KeyPath,
    access: Option<&Access>,
) -> KeySource {
    match raw {
        raw::RequestKey::Client(raw::ClientKey::ClientAddress) => KeySource::ClientAddress,
        raw::RequestKey::Client(raw::ClientKey::ApiKey) => {
            let none = access.is_some_and(|access| access.api_keys.is_empty());
            if none && !check.touches(keys_path) {
                let rule = format!("there are no API keys: [{keys_path}.NAME]");
                check.error(path, rule);
            }
            KeySource::ApiKey
        }
        raw::RequestKey::Part(part) => {
            let sources = [
                ("header", part.header.map(|name| KeySource::Header(name.0))),
                ("cookie", part.cookie.map(|name| KeySource::Cookie(name.0))),
                ("query", part.query.map(|name| KeySource::Query(name.0))),
            ];
            one_source(check, path, sources)
        }
    }
}
