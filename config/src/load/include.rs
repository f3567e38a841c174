//! The files that `include` names.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use toml::{Table, Value, de::DeTable};

use super::read;
use crate::{
    ConfigError,
    document::{Document, Source},
    error::Problems,
    key_path::KeyPath,
};

/// What makes a name a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// Reads every included file, in the order of the patterns and, within one, of the names.
pub(super) fn read_all(
    main: &Document<'_>,
    merged: &Table,
    problems: &mut Problems,
) -> Vec<Source> {
    let patterns = merged.get("include").and_then(Value::as_array);
    let mut sources = Vec::new();
    let mut seen = BTreeSet::from([identity(&main.source.file)]);
    for (index, pattern) in patterns.into_iter().flatten().enumerate() {
        let path = KeyPath::default().key("include").index(index);
        if problems.has(&path) {
            continue;
        }
        let files = match files_of(&main.source.file, pattern.as_str().unwrap_or_default()) {
            Ok(files) => files,
            Err(rule) => {
                main.report(problems, &path, rule);
                continue;
            }
        };
        for file in files {
            if !seen.insert(identity(&file)) {
                continue;
            }
            match read(&file) {
                Ok(source) => sources.push(source),
                Err(error) => problems.add(sources.len() + 1, &path, error),
            }
        }
    }
    sources
}

/// What is no error of a file that [`load`](crate::load()) takes, but most likely a mistake: patterns
/// of `include` that no file matches.
pub fn warnings(path: &Path) -> Vec<ConfigError> {
    let mut problems = Problems::default();
    let Ok(source) = read(path) else {
        return Vec::new();
    };
    let Some(document) = super::read_as_toml(&source, 0, &mut problems) else {
        return Vec::new();
    };
    let patterns = document.root.get("include");
    let patterns = patterns.and_then(|include| include.get_ref().as_array());
    for (index, pattern) in patterns.into_iter().flat_map(|all| all.iter().enumerate()) {
        let pattern = pattern.get_ref().as_str().unwrap_or_default();
        if files_of(path, pattern).is_ok_and(|files| files.is_empty()) {
            let key = KeyPath::default().key("include").index(index);
            document.report(&mut problems, &key, "matches no file");
        }
    }
    problems.into_errors()
}

/// The folders in which a change may change what [`load`](crate::load()) returns: that of the file,
/// and those that `include` names, up to their first wildcard. They need not exist. When the file
/// cannot be read, only its own.
pub fn watched_folders(path: &Path) -> BTreeSet<PathBuf> {
    let folder = folder_of(path);
    let mut folders = BTreeSet::from([folder.join("")]);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // A file with errors may still tell, so that it is noticed when they are repaired elsewhere.
    let (root, _) = DeTable::parse_recoverable(&text);
    let include = root
        .get_ref()
        .get("include")
        .and_then(|include| include.get_ref().as_array());
    for pattern in include.into_iter().flat_map(|patterns| patterns.iter()) {
        let Some(pattern) = pattern.get_ref().as_str() else {
            continue;
        };
        let start = pattern.find(WILDCARDS).unwrap_or(pattern.len());
        let named = pattern[..start]
            .rfind('/')
            .map_or("", |end| &pattern[..=end]);
        folders.insert(folder.join(named));
    }
    folders
}

/// The folder of the file, `.` when its name has none.
fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// The files of one pattern. A pattern without wildcards names a file that must exist; one with
/// wildcards may find none.
pub(super) fn files_of(main: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let folder = main.parent().unwrap_or_else(|| Path::new(""));
    if pattern.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if !pattern.contains(WILDCARDS) {
        let file = folder.join(pattern);
        return if file.is_file() {
            Ok(vec![file])
        } else {
            Err("no such file".to_owned())
        };
    }
    // The folder's own name may hold characters that mean something in a pattern.
    let folder = glob::Pattern::escape(&folder.to_string_lossy());
    let options = glob::MatchOptions {
        require_literal_separator: true,
        // As in a shell; and Kubernetes mounts keep old versions in hidden folders.
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let found = glob::glob_with(&Path::new(&folder).join(pattern).to_string_lossy(), options)
        .map_err(|error| format!("not a valid pattern: {}", error.msg))?;
    found
        .filter(|entry| entry.as_ref().map_or(true, |path| path.is_file()))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("cannot be searched: {error}"))
}

/// Tells one file from another, however it is written.
fn identity(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

/// Adds the services of an included file to those known so far.
pub(super) fn merge(
    merged: &mut Table,
    part: Table,
    earlier: &[Document<'_>],
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let Some(Value::Table(services)) = part.into_iter().next().map(|(_, value)| value) else {
        return;
    };
    let known = merged
        .entry("services")
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()
        .expect("the first file was checked: services is a table");
    for (name, service) in services {
        let path = KeyPath::default().key("services").key(&name);
        match earlier.iter().find(|document| document.has(&path)) {
            Some(first) => {
                let rule = format!(
                    "there is a service of this name in {} already",
                    first.place(&path)
                );
                document.report_without_value(problems, &path, rule);
            }
            None => drop(known.insert(name, service)),
        }
    }
}
