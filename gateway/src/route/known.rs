//! Where the last requests of a thread went: nearly every client asks for the same host and path again and again,
//! and to compare them with what was asked for before is less than to look them up.

use std::cell::RefCell;

use super::hosts_and_paths::Target;

/// How many are remembered.
const PLACES: usize = 32;

/// The longest host and path that are.
const LENGTH_MAX: usize = 256;

thread_local! {
    static KNOWN: RefCell<[Known; PLACES]> = const { RefCell::new([const { Known::NONE }; PLACES]) };
}

/// Where a host and a path lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Service(Target),
    FrontDoor,
}

/// What was found.
struct Known {
    /// In the table of this number; 0: in none.
    table: u64,
    /// The host, and behind it the path.
    text: Vec<u8>,
    host_length: usize,
    place: Place,
}

impl Known {
    const NONE: Self = Self {
        table: 0,
        text: Vec::new(),
        host_length: 0,
        place: Place::FrontDoor,
    };

    fn is_of(&self, table: u64, host: &[u8], path: &[u8]) -> bool {
        let Some((known_host, known_path)) = self.text.split_at_checked(self.host_length) else {
            return false;
        };
        self.table == table && known_host == host && known_path == path
    }
}

/// Where a host and a path lead in the table of this number, for which `look` looks where it is not known.
pub(super) fn find(
    table: u64,
    (host, path): (&[u8], &[u8]),
    look: impl Fn() -> Option<Place>,
) -> Option<Place> {
    if host.len() + path.len() > LENGTH_MAX {
        return look();
    }
    let last = path.last().copied().unwrap_or_default();
    let at = (host.len() * 5 + path.len() + usize::from(last)) % PLACES;
    let found = KNOWN.try_with(|all| {
        let mut all = all.borrow_mut();
        let known = &mut all[at];
        if known.is_of(table, host, path) {
            return Some(known.place);
        }
        known.place = look()?;
        known.table = table;
        known.text.clear();
        known.text.extend_from_slice(host);
        known.text.extend_from_slice(path);
        known.host_length = host.len();
        Some(known.place)
    });
    // While a thread ends nothing is remembered.
    found.unwrap_or_else(|_| look())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_was_found_is_known_for_its_own_table_host_and_path_only() {
        let looks = Cell::new(0);
        let find = |table, host: &str, path: &str| {
            find(table, (host.as_bytes(), path.as_bytes()), || {
                looks.set(looks.get() + 1);
                (host != "none").then_some(Place::Service(Target {
                    service: looks.get(),
                    deployment: None,
                }))
            })
            .map(|place| match place {
                Place::Service(target) => target.service,
                Place::FrontDoor => 0,
            })
        };
        assert_eq!(find(1, "a", "/b"), Some(1));
        assert_eq!(find(1, "a", "/b"), Some(1));
        // Of the same length, and the same text cut elsewhere.
        assert_eq!(find(1, "a", "/c"), Some(2));
        assert_eq!(find(1, "a/", "b"), Some(3));
        assert_eq!(find(2, "a", "/b"), Some(4));
        assert_eq!(find(2, "a", "/b"), Some(4));
        for looked in 5..7 {
            assert_eq!(find(2, "none", "/b"), None);
            assert_eq!(looks.get(), looked);
        }
        let long = "/".repeat(LENGTH_MAX);
        for looked in 7..9 {
            assert_eq!(find(2, "a", &long), Some(looked));
        }
    }
}
