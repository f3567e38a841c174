//! Tells secrets apart without keeping them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
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
        let digest = self.hmac(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A text that only who has the key can read, as Base64: ChaCha20-Poly1305 under a key made from this
    /// one. Equal texts look equal, as their digests do; the nonce is a digest of the text, so that no two
    /// texts share one.
    pub(crate) fn seal(&self, text: &str) -> String {
        let whole = self.hmac([b"nonce ", text.as_bytes()].concat().as_slice());
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&whole[..NONCE_LEN]);
        let mut sealed = text.as_bytes().to_vec();
        let done = self.sealing().seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        );
        done.expect("a text is shorter than the cipher's 256 GiB");
        BASE64.encode([&nonce[..], &sealed].concat())
    }

    /// What was sealed under this key; `None` for anything else.
    pub(crate) fn open(&self, sealed: &str) -> Option<String> {
        let mut bytes = BASE64.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self
            .sealing()
            .open_in_place(nonce, Aad::empty(), text)
            .ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn sealing(&self) -> LessSafeKey {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.hmac(b"key of what is sealed"));
        LessSafeKey::new(key.expect("32 bytes are a key of this cipher"))
    }

    fn hmac(&self, text: &[u8]) -> [u8; 32] {
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
        outer.into()
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
    fn what_is_sealed_is_read_under_its_key_alone_and_only_as_it_is() {
        let (key, other) = (SecretKey([1; 32]), SecretKey([2; 32]));
        let sealed = key.seal("TOKEN=swordfish");
        assert!(!sealed.contains("swordfish"));
        assert_eq!(key.open(&sealed).as_deref(), Some("TOKEN=swordfish"));
        assert_ne!(
            key.seal("TOKEN=swordfisi")[..16],
            sealed[..16],
            "another nonce"
        );
        let mut bytes = BASE64.decode(&sealed).unwrap();
        bytes[14] ^= 1;
        for wrong in [
            BASE64.encode(bytes),
            String::new(),
            "?".to_owned(),
            "AAAA".to_owned(),
        ] {
            assert_eq!(key.open(&wrong), None, "{wrong}");
        }
        assert_eq!(other.open(&sealed), None);
    }

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
