//! Tells secrets apart without keeping them.

use std::fmt;

use sha2::{Digest, Sha256};

/// Block of SHA-256 in bytes, by which HMAC pads its key.
const BLOCK: usize = 64;

/// The key of an installation. What is written down of commands and environments is a digest under
/// it: equal texts have equal digests, and without the key nobody can try out what the text was.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub(crate) [u8; 32]);

impl SecretKey {
    /// HMAC-SHA-256 of a text, as 64 hexadecimal digits.
    pub(crate) fn digest(&self, text: &str) -> String {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            block
                .iter_mut()
                .zip(self.0)
                .for_each(|(byte, key)| *byte ^= key);
            block
        };
        let inner = Sha256::new()
            .chain_update(padded(0x36))
            .chain_update(text)
            .finalize();
        let outer = Sha256::new()
            .chain_update(padded(0x5c))
            .chain_update(inner)
            .finalize();
        outer.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// For a control without a state file, as in tests: a key that is always the same.
impl Default for SecretKey {
    fn default() -> Self {
        Self([0; 32])
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // RFC 4231, test case 2.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            SecretKey(key).digest("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
