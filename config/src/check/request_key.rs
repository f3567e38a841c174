//! Where a key of a request is read from, wherever a setting says so.

use super::Check;
use crate::{KeySource, key_path::KeyPath};

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
