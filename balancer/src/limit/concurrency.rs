//! Requests at once.

use super::KeyMap;

/// Counts the requests of each of many keys. A key without requests takes no memory.
#[derive(Debug, Default)]
pub struct ConcurrencyLimit {
    counts: KeyMap<u32>,
}

impl ConcurrencyLimit {
    /// Requests of this key now.
    pub fn count(&self, key: u64) -> u32 {
        self.counts.get(&key).copied().unwrap_or(0)
    }

    /// Counts one more request of this key, whatever the limit. Each must be given back once.
    pub fn take(&mut self, key: u64) {
        *self.counts.entry(key).or_insert(0) += 1;
    }

    /// A request of this key is over. One that was never counted is ignored.
    pub fn give_back(&mut self, key: u64) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    /// Keys that have requests.
    pub fn keys(&self) -> usize {
        self.counts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_requests_is_forgotten() {
        let mut limit = ConcurrencyLimit::default();
        limit.take(1);
        limit.take(1);
        limit.take(2);
        assert_eq!((limit.count(1), limit.count(2), limit.count(3)), (2, 1, 0));
        limit.give_back(1);
        limit.give_back(2);
        limit.give_back(2);
        assert_eq!((limit.count(1), limit.keys()), (1, 1));
        limit.give_back(1);
        assert_eq!(limit.keys(), 0);
    }
}
