//! How much may be used: requests in time, and requests at once.
//!
//! Each limit holds for every key by itself; what a key stands for (a client, an API key, everybody)
//! is the caller's business. Both limits are asked first and taken from afterwards, so that a caller with
//! several of them can ask all before it takes from any: a request that one limit refuses must not
//! use up another. The caller's lock makes both steps one.

mod concurrency;
mod rate;

use std::hash::{BuildHasherDefault, Hasher};

pub use concurrency::ConcurrencyLimit;
pub use rate::{RateLimit, RateRule};

/// A map from keys, which are hashes already.
type KeyMap<V> = std::collections::HashMap<u64, V, BuildHasherDefault<Unhashed>>;

/// Takes a 64-bit key as its own hash. Who lets strangers choose keys must have hashed them with a
/// secret.
#[derive(Debug, Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
