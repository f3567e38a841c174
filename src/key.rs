//! `penstock key`: API keys for the clients of a service.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Args;
use sha2::{Digest, Sha256};

/// Tells a key from other secrets, also in a leak.
const PREFIX: &str = "psk_";

/// Random bytes of a key: nothing to guess, whatever the hash costs.
const RANDOM_BYTES: usize = 32;

/// Longest key that is read. The gateway takes none that is longer.
const KEY_BYTES_MAX: usize = 4096;

/// Make an API key and print it once, with the line for the configuration file.
///
/// The file holds only the key's SHA-256, in `[services.SERVICE.api_keys.NAME]`. The client sends the
/// key as `Authorization: Bearer KEY` or as `x-api-key: KEY`. To replace a key give `sha256` a list of
/// both, move the clients over, and remove the old one.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// Read a key that exists already from standard input and print its line only.
    #[arg(long)]
    hash: bool,
}

/// Prints a new key and its line, or the line of a given one.
pub(crate) fn run(args: &KeyArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let key = if args.hash {
        given(io::stdin().lock()).context("standard input")?
    } else {
        let key = new(PREFIX);
        writeln!(out, "{key}")?;
        key
    };
    writeln!(out, "sha256 = \"{}\"", hash(&key))?;
    Ok(())
}

pub(crate) fn new(prefix: &str) -> String {
    let random: [u8; RANDOM_BYTES] = rand::random();
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// The key that `input` holds, without white space around it.
pub(crate) fn given(input: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(KEY_BYTES_MAX)? + 2;
    input
        .take(limit)
        .read_to_string(&mut text)
        .context("cannot be read")?;
    let key = text.trim();
    if key.is_empty() {
        bail!("it is empty");
    }
    if key.len() > KEY_BYTES_MAX {
        bail!("it is longer than {KEY_BYTES_MAX} bytes");
    }
    // What cannot stand in a header field could never be sent.
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("it must be one line of visible ASCII characters without spaces");
    }
    Ok(key.to_owned())
}

pub(crate) fn hash(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_sha_256_of_the_key_and_nothing_else() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn new_keys_are_printable_and_never_the_same() {
        let keys = [new(PREFIX), new(PREFIX)];
        assert_ne!(keys[0], keys[1]);
        for key in keys {
            let random = key.strip_prefix(PREFIX).unwrap();
            assert_eq!(random.len(), 43);
            assert!(given(key.as_bytes()).is_ok(), "{key}");
        }
    }

    #[test]
    fn what_no_header_could_carry_is_no_key() {
        for (input, error) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("two words", "visible ASCII"),
            ("schlüssel", "visible ASCII"),
            ("a\nb\n", "visible ASCII"),
            ("\u{7f}", "visible ASCII"),
        ] {
            let found = given(input.as_bytes()).unwrap_err().to_string();
            assert!(found.contains(error), "{input:?}: {found}");
        }
        let long = "x".repeat(KEY_BYTES_MAX);
        assert_eq!(given(format!("{long}\r\n").as_bytes()).unwrap(), long);
        assert!(given(format!("{long}x").as_bytes()).is_err());
        assert!(given(&b"\xff"[..]).is_err());
    }
}
