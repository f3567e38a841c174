//! The key of an installation, in a file beside the state.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use crate::{private, secret::SecretKey};

/// Reads the key from a file, or makes one there.
///
/// # Errors
///
/// When the file cannot be read or written, or holds something else.
pub(super) fn open(path: &Path) -> io::Result<SecretKey> {
    let mut file = private::open(
        path,
        OpenOptions::new().create(true).read(true).append(true),
    )?;
    let mut bytes = Vec::new();
    (&mut file).take(33).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        let key = random()?;
        file.write_all(&key.0)?;
        return Ok(key);
    }
    let key = bytes.try_into();
    key.map(SecretKey)
        .map_err(|_| io::Error::other("not a key of penstock; remove it, and a new one is made"))
}

fn random() -> io::Result<SecretKey> {
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(SecretKey(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_installation_stays_and_differs_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let key = open(&one).unwrap();
        assert_eq!(open(&one).unwrap(), key);
        assert_ne!(open(&other).unwrap(), key);
        std::fs::write(&other, "short").unwrap();
        assert!(open(&other).is_err());
    }
}
