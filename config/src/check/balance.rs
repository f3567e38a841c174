//! `balance` and `hash` of a service.

use super::{Check, request_key::one_source};
use crate::{Balance, Hash, KeySource, Overflow, Split, key_path::KeyPath, raw};

pub(super) fn balance(balance: raw::Balance) -> Balance {
    match balance {
        raw::Balance::RoundRobin => Balance::RoundRobin,
        raw::Balance::LeastConnections => Balance::LeastConnections,
        raw::Balance::Random => Balance::Random,
        raw::Balance::Hash => Balance::Hash,
        raw::Balance::PeakEwma => Balance::PeakEwma,
    }
}

/// What is hashed, which must be said if and only if something hashes.
pub(super) fn hash(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Option<raw::Hash>,
    balance: Balance,
    split: Split,
) -> Option<Hash> {
    let path = service.key("hash");
    let hashing = if balance == Balance::Hash {
        Some("balance")
    } else {
        (split == Split::Hash).then_some("split")
    };
    match (raw, hashing) {
        (Some(raw), Some(_)) => Some(read(check, &path, raw, balance)),
        (Some(_), None) => {
            // One of them that is wrong might have been the one that hashes.
            let unsure = ["balance", "split"].map(|key| check.touches(&service.key(key)));
            if !unsure.contains(&true) {
                let rule =
                    "nothing is hashed: it is for `balance = \"hash\"` and `split = \"hash\"`";
                check.error(&path, rule);
            }
            None
        }
        (None, Some(key)) => {
            if !check.touches(&path) {
                let rule = "needs `hash`, such as `hash = { header = \"x-user\" }`";
                check.error(&service.key(key), rule);
            }
            None
        }
        (None, None) => None,
    }
}

fn read(check: &mut Check<'_>, path: &KeyPath, raw: raw::Hash, balance: Balance) -> Hash {
    if raw.client_address == Some(false) {
        let rule = "must be true; leave it out to hash something else";
        check.error(&path.key("client_address"), rule);
    }
    let sources = [
        ("header", raw.header.map(|name| KeySource::Header(name.0))),
        ("cookie", raw.cookie.map(|name| KeySource::Cookie(name.0))),
        ("query", raw.query.map(|name| KeySource::Query(name.0))),
        (
            "client_address",
            raw.client_address.map(|_| KeySource::ClientAddress),
        ),
    ];
    let by = one_source(check, path, sources);
    let overflow_path = path.key("overflow");
    let factor_path = path.key("load_factor");
    if balance != Balance::Hash {
        for path in [&overflow_path, &factor_path] {
            if check.has(path) {
                let rule = "is about workers: it is only for `balance = \"hash\"`";
                check.error(path, rule);
            }
        }
    } else if !matches!(raw.overflow, raw::Overflow::AboveMean)
        && check.has(&factor_path)
        && !check.touches(&overflow_path)
    {
        check.error(&factor_path, "is only for `overflow = \"above-mean\"`");
    }
    let overflow = match raw.overflow {
        raw::Overflow::AboveMean => Overflow::AboveMean(raw.load_factor),
        raw::Overflow::WhenFull => Overflow::WhenFull,
        raw::Overflow::Never => Overflow::Never,
    };
    Hash { by, overflow }
}
