//! API keys: read from a request's header fields and compared with the hashes of the file.
//!
//! A key is at least 128 random bits (`penstock key` makes 256), so one SHA-256 of it is as good as a
//! slow hash would be: there is nothing to guess. What is sent is hashed and compared with every valid
//! hash to its end, so that the time taken tells neither whether nor with which one it agrees.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use penstock_config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::request::request_key::NamedKey;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Fields in which a key may come; the first valid one counts.
const CARRIERS: [HeaderName; 2] = [AUTHORIZATION, X_API_KEY];

/// Lines of one field that are looked at. One is right; a proxy may have added another.
const LINES_MAX: usize = 4;

/// Longest value that is hashed. Whatever is longer is no key.
const KEY_BYTES_MAX: usize = 4096;

/// A SHA-256, as it is compared.
type Words = [u64; 4];

/// The keys of a service. Never empty.
pub(super) struct ApiKeys {
    keys: Vec<Arc<NamedKey>>,
    /// Every valid hash, with the position of its key in `keys`.
    hashes: Vec<(Words, u32)>,
}

/// What came in place of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Valid(Arc<NamedKey>),
    Invalid,
    Nothing,
}

impl ApiKeys {
    /// Those of the file; `None` when it has none.
    pub(super) fn new(settings: &BTreeMap<String, ApiKey>) -> Option<Self> {
        if settings.is_empty() {
            return None;
        }
        let keys = settings.keys().map(|name| {
            let name = name.as_str().into();
            Arc::new(NamedKey { name })
        });
        let hashes = settings.values().zip(0..).flat_map(|(key, position)| {
            let hashes = key.sha256.iter();
            hashes.map(move |hash| (words(hash), position))
        });
        Some(Self {
            keys: keys.collect(),
            hashes: hashes.collect(),
        })
    }

    /// The key of the deployments' own hosts.
    pub(super) fn of_hosts(hashes: &[[u8; 32]]) -> Self {
        let name = "deployment_hosts".into();
        Self {
            keys: vec![Arc::new(NamedKey { name })],
            hashes: hashes.iter().map(|hash| (words(hash), 0)).collect(),
        }
    }

    /// The first valid key in `headers`. A field that held one is removed, unless it is to be passed
    /// on; whatever else it held is for nobody else either.
    pub(super) fn find(&self, headers: &mut HeaderMap, pass_on: bool) -> Sent {
        let mut found = Sent::Nothing;
        for carrier in CARRIERS {
            let mut held_one = false;
            let lines = headers.get_all(&carrier).iter().take(LINES_MAX);
            for sent in lines.filter_map(|line| key_in(&carrier, line)) {
                match self.known(sent) {
                    Some(key) => {
                        held_one = true;
                        if !matches!(found, Sent::Valid(_)) {
                            found = Sent::Valid(Arc::clone(key));
                        }
                    }
                    None if found == Sent::Nothing => found = Sent::Invalid,
                    None => {}
                }
            }
            if held_one && !pass_on {
                headers.remove(&carrier);
            }
        }
        found
    }

    fn known(&self, sent: &[u8]) -> Option<&Arc<NamedKey>> {
        if sent.len() > KEY_BYTES_MAX {
            return None;
        }
        let sent = words(&Sha256::digest(sent).into());
        let mut position = u32::MAX;
        for (hash, owner) in &self.hashes {
            let difference = hash
                .iter()
                .zip(sent)
                .fold(0, |bits, (ours, theirs)| bits | (ours ^ theirs));
            position.conditional_assign(owner, difference.ct_eq(&0));
        }
        self.keys.get(usize::try_from(position).ok()?)
    }
}

/// What may be a key in a line of a field.
fn key_in<'a>(carrier: &HeaderName, line: &'a HeaderValue) -> Option<&'a [u8]> {
    let value = line.as_bytes().trim_ascii();
    if carrier != AUTHORIZATION {
        return Some(value).filter(|value| !value.is_empty());
    }
    // Schemes are compared without case (RFC 9110 §11.1).
    let (scheme, rest) = value.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| rest.trim_ascii())
        .filter(|key| !key.is_empty())
}

fn words(hash: &[u8; 32]) -> Words {
    let (words, _) = hash.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or_default())
}
