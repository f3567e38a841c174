//! API keys: read from a request's header fields and compared with the hashes of the file.
//!
//! A key is at least 128 random bits (`penstock key` makes 256), so one SHA-256 of it is as good as a
//! slow hash would be: there is nothing to guess. What is sent is hashed and compared with every valid
//! hash to its end, so that the time taken tells neither whether nor with which one it agrees.

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::request::request_key::{NamedKey, RequestHead};

const AUTHORIZATION: &str = "authorization";

/// Fields in which a key may come; the first valid one counts.
const CARRIERS: [&str; 2] = [AUTHORIZATION, "x-api-key"];

/// Lines of one field that are looked at. One is right; a proxy may have added another.
const LINES_MAX: usize = 4;

/// Longest value that is hashed. Whatever is longer is no key.
const KEY_BYTES_MAX: usize = 4096;

/// A SHA-256, as it is compared.
type Words = [u64; 4];

/// The key that let a request in, and the fields that held a valid one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LetIn {
    pub(crate) key: Arc<NamedKey>,
    /// By their names in lower case. Whatever else they held is for nobody else either.
    pub(crate) carriers: [Option<&'static str>; 2],
}

/// The keys of a service. Never empty.
pub(super) struct ApiKeys {
    keys: Vec<Arc<NamedKey>>,
    /// Every valid hash, with the position of its key in `keys`.
    hashes: Vec<(Words, u32)>,
}

/// What came in place of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Valid(LetIn),
    Invalid,
    Nothing,
}

impl ApiKeys {
    /// Those of the file; `None` when it has none.
    pub(super) fn new(settings: &BTreeMap<String, ApiKey>) -> Option<Self> {
        if settings.is_empty() {
            return None;
        }
        let keys = settings.iter().map(|(name, key)| {
            let models = key.models.iter().flatten();
            let models = models.map(|model| model.as_str().into()).collect();
            Arc::new(NamedKey {
                name: name.as_str().into(),
                models: key.models.is_some().then_some(models),
            })
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
            keys: vec![Arc::new(NamedKey { name, models: None })],
            hashes: hashes.iter().map(|hash| (words(hash), 0)).collect(),
        }
    }

    /// The first valid key that a request has.
    pub(super) fn find(&self, head: &RequestHead<'_>) -> Sent {
        let mut found: Option<Arc<NamedKey>> = None;
        let mut carriers = [None; 2];
        let mut sent_any = false;
        for (carrier, held_one) in CARRIERS.into_iter().zip(&mut carriers) {
            let lines = head.headers(carrier).take(LINES_MAX);
            for sent in lines.filter_map(|line| key_in(carrier, line)) {
                sent_any = true;
                if let Some(key) = self.known(sent) {
                    *held_one = Some(carrier);
                    found.get_or_insert_with(|| Arc::clone(key));
                }
            }
        }
        match found {
            Some(key) => Sent::Valid(LetIn { key, carriers }),
            None if sent_any => Sent::Invalid,
            None => Sent::Nothing,
        }
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
fn key_in<'a>(carrier: &str, line: &'a [u8]) -> Option<&'a [u8]> {
    let value = line.trim_ascii();
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
