//! Answers by status code, with a bounded number of labels whatever codes workers invent.

use std::sync::atomic::{AtomicU64, Ordering};

/// The codes that are counted by themselves: those registered with IANA, 499, which is ours for a
/// client that left (nginx's number for it), and 529, which model servers say when overloaded.
/// Others are counted by their class.
const OWN: [u16; 64] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304,
    305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,
    416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504,
    505, 506, 507, 508, 510, 511, 529,
];

/// Class 1 to 5, and everything beyond.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Number of counters: one per code of its own, then one per class.
pub(super) const CODES: usize = OWN.len() + CLASSES.len();

/// The counters.
#[derive(Debug)]
pub(super) struct CodeCounters([AtomicU64; CODES]);

impl Default for CodeCounters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CODES])
    }
}

impl CodeCounters {
    /// Counts one answer.
    pub(super) fn count(&self, code: u16) {
        self.0[place(code)].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the counts to a sum.
    pub(super) fn add_to(&self, sum: &mut [u64; CODES]) {
        for (total, count) in sum.iter_mut().zip(&self.0) {
            *total += count.load(Ordering::Relaxed);
        }
    }
}

/// The `code` label of a counter by its place.
pub(super) fn label(place: usize) -> String {
    match OWN.get(place) {
        Some(code) => code.to_string(),
        None => CLASSES[place - OWN.len()].to_owned(),
    }
}

fn place(code: u16) -> usize {
    const OK: usize = 4;
    // Nearly every request.
    if code == OWN[OK] {
        return OK;
    }
    OWN.binary_search(&code).unwrap_or_else(|_| {
        let class = usize::from(code / 100);
        OWN.len() + class.wrapping_sub(1).min(CLASSES.len() - 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_is_its_own_label_and_an_invented_one_its_class() {
        assert!(OWN.is_sorted());
        let label = |code| label(place(code));
        for code in OWN {
            assert_eq!(label(code), code.to_string());
        }
        for (code, class) in [
            (199, "1xx"),
            (299, "2xx"),
            (399, "3xx"),
            (420, "4xx"),
            (599, "5xx"),
            (600, "other"),
            (999, "other"),
            (0, "other"),
        ] {
            assert_eq!(label(code), class, "{code}");
        }
    }
}
