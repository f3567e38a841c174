//! Paths cut at their slashes.

/// The first `count` segments of a path, without the slash after them: two of `/a/b/c` are `/a/b`,
/// none are the empty text. All there are when the path has fewer.
pub(super) fn first_segments(path: &[u8], count: usize) -> &[u8] {
    path.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .nth(count)
        .map_or(path, |(end, _)| &path[..end])
}

/// The path without its last segment; every path comes to the empty text.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/');
    end.map_or(&[], |end| &path[..end])
}

/// Whether a path holds a `..` segment in any spelling that some worker may understand:
/// percent-encoded, between backslashes, or with a parameter (`..;x`). Such a path could match a
/// prefix here and mean another place there, so it matches no prefix but the empty one.
pub(super) fn climbs(path: &[u8]) -> bool {
    // Nearly no path has what it takes.
    if !path.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let mut dots = Some(0);
    for byte in Decoded(path) {
        match byte {
            b'/' | b'\\' | b';' => {
                if dots == Some(2) {
                    return true;
                }
                dots = if byte == b';' { None } else { Some(0) };
            }
            b'.' => dots = dots.map(|count: usize| count.saturating_add(1)),
            _ => dots = None,
        }
    }
    dots == Some(2)
}

/// The bytes of a path with the escapes of the four bytes that matter to [`climbs`] undone.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, width) = match self.0 {
            [b'%', b'2', b'e' | b'E', ..] => (b'.', 3),
            [b'%', b'2', b'f' | b'F', ..] => (b'/', 3),
            [b'%', b'5', b'c' | b'C', ..] => (b'\\', 3),
            [b'%', b'3', b'b' | b'B', ..] => (b';', 3),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        self.0 = &self.0[width..];
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_cut_at_slashes() {
        assert_eq!(first_segments(b"/a/b/c", 0), b"");
        assert_eq!(first_segments(b"/a/b/c", 2), b"/a/b");
        assert_eq!(first_segments(b"/a/b/c", 3), b"/a/b/c");
        assert_eq!(first_segments(b"/a/b/c", 9), b"/a/b/c");
        assert_eq!(first_segments(b"/a/", 1), b"/a");
        assert_eq!(first_segments(b"*", 0), b"*");
        assert_eq!(parent(b"/a/b"), b"/a");
        assert_eq!(parent(b"/a"), b"");
        assert_eq!(parent(b"*"), b"");
    }

    #[test]
    fn climbing_is_seen_in_every_spelling() {
        for path in [
            "/v1/..",
            "/v1/../admin",
            "/v1/%2e%2E/admin",
            "/v1/.%2e/admin",
            "/v1/..%2fadmin",
            "/v1%2f..%2fadmin",
            "/v1/..\\admin",
            "/v1/..%5cadmin",
            "/v1/..;/admin",
            "/v1/..;a=b/admin",
            "/v1/..%3b/admin",
        ] {
            assert!(climbs(path.as_bytes()), "{path}");
        }
        for path in [
            "/v1", "/", "", "/v1/...", "/v1/..a", "/v1/a..", "/v1/./x", "/a;../b", "/%2",
        ] {
            assert!(!climbs(path.as_bytes()), "{path}");
        }
    }
}
