//! The files of certificates and keys that a configuration names, wherever they are.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::include;

/// More symbolic links on the way to a file are a circle.
const LINKS_MAX: usize = 40;

/// The files of certificates and keys that [`load`](crate::load()) reads besides, and every symbolic link
/// on the way to them: a change of any may change what it returns. Certificates are renewed by
/// replacing a file (certbot its links) or the folder (Kubernetes the link to it).
pub fn watched_files(path: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let included = named_in(path, &mut files);
    for file in included {
        named_in(&file, &mut files);
    }
    let mut watched = BTreeSet::new();
    for file in files {
        add_with_links(&file, &mut watched);
    }
    watched
}

/// Adds what one file of the configuration names; the files that it includes.
fn named_in(path: &Path, files: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A file with errors may still tell, so that it is noticed when they are repaired elsewhere.
    let (root, _) = DeTable::parse_recoverable(&text);
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let folder = std::path::absolute(folder.join(".")).unwrap_or_else(|_| folder.to_owned());
    for (_, value) in root.get_ref().iter() {
        find(value.get_ref(), &folder, files);
    }
    let include = root.get_ref().get("include");
    let patterns = include.and_then(|include| include.get_ref().as_array());
    patterns
        .into_iter()
        .flat_map(|patterns| patterns.iter())
        .filter_map(|pattern| include::files_of(path, pattern.get_ref().as_str()?).ok())
        .flatten()
        .collect()
}

/// Goes through all of it: the keys are called the same wherever they stand.
fn find(value: &DeValue<'_>, folder: &Path, files: &mut BTreeSet<PathBuf>) {
    match value {
        DeValue::Array(items) => items
            .iter()
            .for_each(|item| find(item.get_ref(), folder, files)),
        DeValue::Table(table) => {
            for (key, value) in table.iter() {
                let value = value.get_ref();
                let named = value.as_str().filter(|name| !name.is_empty());
                match named {
                    Some(name) if matches!(&**key.get_ref(), "cert" | "key" | "ca") => {
                        files.insert(folder.join(name));
                    }
                    _ => find(value, folder, files),
                }
            }
        }
        _ => {}
    }
}

/// Adds a file and the links that lead to it.
fn add_with_links(file: &Path, watched: &mut BTreeSet<PathBuf>) {
    let mut left = LINKS_MAX;
    let mut at = PathBuf::new();
    let mut rest: Vec<PathBuf> = parts(file);
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        at.push(&part);
        match std::fs::read_link(&at) {
            Ok(target) if left > 0 => {
                left -= 1;
                watched.insert(at.clone());
                at.pop();
                rest.extend(parts(&target));
            }
            _ => {}
        }
    }
    watched.insert(at);
}

/// The components of a path, the last one first. An absolute one begins anew when it is pushed.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    parts
        .filter(|part| *part != Component::CurDir)
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn every_link_on_the_way_to_a_certificate_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        // As Kubernetes mounts a secret.
        fs::create_dir_all(folder.join("tls/..1")).unwrap();
        fs::write(folder.join("tls/..1/tls.crt"), "").unwrap();
        symlink("..1", folder.join("tls/..data")).unwrap();
        symlink("..data/tls.crt", folder.join("tls/tls.crt")).unwrap();
        let main = folder.join("penstock.toml");
        fs::write(
            &main,
            "include = [\"more/*.toml\"]\nlisteners = [{ tls = { certificates = [{ cert = \"tls/tls.crt\", key = \"a/b.key\" }] } }]",
        )
        .unwrap();
        fs::create_dir(folder.join("more")).unwrap();
        let more = "[services.a.deployments.b]\nstatic = { tls = { ca = \"../ca.pem\" } }";
        fs::write(folder.join("more/a.toml"), more).unwrap();
        let wanted = [
            "tls/tls.crt",
            "tls/..data",
            "tls/..1/tls.crt",
            "a/b.key",
            "ca.pem",
        ];
        let wanted = wanted.iter().map(|name| folder.join(name)).collect();
        assert_eq!(watched_files(&main), wanted);
    }

    #[test]
    fn links_that_lead_in_a_circle_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        let mut watched = BTreeSet::new();
        add_with_links(&folder.path().join("a"), &mut watched);
        assert!(watched.len() >= 2);
    }
}
