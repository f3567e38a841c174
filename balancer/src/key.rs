//! Turns names and header values into 64-bit keys.

use crate::draw::mix;

/// A key for a name or a header value: the same in every process and every version, so that many
/// gateways agree on where a hashed request belongs.
///
/// FNV-1a, whose weak upper bits a final mix repairs. It is not meant to withstand clients who look for
/// collisions: all they can reach is that their own requests share a worker.
pub fn key(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_the_same_for_ever() {
        assert_eq!(key(b""), mix(0xcbf2_9ce4_8422_2325));
        // The FNV-1a value of "a" as published by its authors.
        assert_eq!(key(b"a"), mix(0xaf63_dc4c_8601_ec8c));
    }
}
