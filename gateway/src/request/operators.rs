//! Paths that servers of models have for those who operate them, and that nobody outside may reach.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use penstock_config::{OPERATOR_PATHS, OPERATOR_PATHS_BELOW};

use super::door::decode;

/// Longest of them.
const LONGEST: usize = 64;

/// The lengths of all of [`OPERATOR_PATHS`], a bit for each: nearly every other path differs from them in its length.
const LENGTHS: u64 = {
    let mut lengths = 0;
    let mut place = 0;
    while place < OPERATOR_PATHS.len() {
        #[allow(
            clippy::indexing_slicing,
            reason = "of a constant, when it is compiled"
        )]
        let length = OPERATOR_PATHS[place].len();
        assert!(length < LONGEST);
        lengths |= 1 << length;
        place += 1;
    }
    lengths
};

/// The path for operators that this one is, in whatever way it is written: servers read escapes, and some do not
/// mind further slashes.
pub(crate) fn path(path: &str) -> Option<&'static str> {
    if is_plain(path) {
        return known(path.trim_end_matches('/'));
    }
    let path = decode(path, false).unwrap_or_default();
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let plain: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
    known(&plain)
}

/// Whether a path can be read in one way only. Slashes at its end do not count.
fn is_plain(path: &str) -> bool {
    let bytes = path.trim_end_matches('/').as_bytes();
    let mut before = b'a';
    path.starts_with('/')
        && bytes.iter().all(|&byte| {
            let is_odd = byte == b'%' || (before == b'/' && (byte == b'/' || byte == b'.'));
            before = byte;
            !is_odd
        })
}

/// The path that this one is, or is below.
fn known(path: &str) -> Option<&'static str> {
    let may_be = path.len() < LONGEST && LENGTHS & (1 << path.len()) != 0;
    let found = OPERATOR_PATHS
        .iter()
        .find(|known| may_be && **known == path);
    let below = |known: &&&str| {
        let rest = path.strip_prefix(**known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    found
        .or_else(|| OPERATOR_PATHS_BELOW.iter().find(below))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::{path as path_of, *};

    #[test]
    fn what_is_for_operators_is_known_in_every_spelling() {
        for path in [
            "/sleep",
            "/%73leep",
            "//sleep",
            "/./sleep/",
            "/v1/x/..//../sleep",
            "/v1/load_lora_adapter",
            "/v1%2Fload_lora_adapter",
            "/slots",
            "/slots/0",
            "/slots/1/x",
            "/hicache/storage-backend",
            "/hicache/storage-backend/clear",
            "/models/load",
            "/models//unload",
            "/clear_hicache_storage_backend",
        ] {
            assert!(path_of(path).is_some(), "{path}");
        }
        for path in [
            "/sleeping",
            "/a/sleep",
            "/v1/sleep",
            "/slotsx",
            "/hicache",
            "/models",
            "/",
            "",
            "/v1/chat/completions",
            "/v1/chat/completions/../models",
            "/%zz",
            "/caf%C3%A9",
        ] {
            assert_eq!(path_of(path), None, "{path}");
        }
    }

    #[test]
    fn every_path_of_the_list_is_found_as_it_stands_there() {
        for known in OPERATOR_PATHS.iter().chain(&OPERATOR_PATHS_BELOW) {
            assert_eq!(path_of(known), Some(*known));
            assert_eq!(path_of(&format!("{known}/")), Some(*known));
            assert_eq!(path_of(&format!("/{known}")), Some(*known));
        }
    }
}
