//! From files to a checked configuration.

mod fill_in;
mod include;
mod tls_files;

use std::{io, path::Path, string::FromUtf8Error};

use serde::Deserialize;

use crate::{
    Config, ConfigError, ConfigErrors, check,
    document::{Document, Source},
    error::Problems,
    key_path::KeyPath,
    raw,
    shape::Shape,
    structure,
};

pub use include::{warnings, watched_folders};
pub use tls_files::watched_files;

/// Reads and checks a configuration file and the files it includes.
///
/// # Errors
/// Everything that is wrong, at once; a file that cannot be read is an error among the others.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let mut problems = Problems::default();
    match read(path) {
        Ok(source) => assemble(&source, problems),
        Err(error) => {
            problems.add(0, &KeyPath::default(), error);
            problems.finish(None)
        }
    }
}

/// Checks a configuration as [`load`] would if `path` held `text`. The files it includes are read.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    assemble(&Source::new(path, text.to_owned()), Problems::default())
}

fn assemble(main: &Source, mut problems: Problems) -> Result<Config, ConfigErrors> {
    let Some(document) = read_as_toml(main, 0, &mut problems) else {
        return problems.finish(None);
    };
    let mut merged = structure::check(&document, Shape::file(), &mut problems);
    let sources = include::read_all(&document, &merged, &mut problems);

    let mut documents = vec![document];
    for (index, source) in sources.iter().enumerate() {
        let Some(document) = read_as_toml(source, index + 1, &mut problems) else {
            continue;
        };
        let part = structure::check(&document, Shape::included(), &mut problems);
        include::merge(&mut merged, part, &documents, &document, &mut problems);
        documents.push(document);
    }

    let config = match raw::File::deserialize(merged) {
        Ok(file) => Some(check::check(file, &documents, &mut problems)),
        // Cannot happen as long as schema and types agree; if they ever do not, the user at least
        // learns what serde did not like.
        Err(error) => {
            documents[0].report(&mut problems, &KeyPath::default(), error.to_string());
            None
        }
    };
    problems.finish(config)
}

/// A file as TOML, with everything filled in that its strings take from elsewhere.
fn read_as_toml<'a>(
    source: &'a Source,
    number: usize,
    problems: &mut Problems,
) -> Option<Document<'a>> {
    let mut document = Document::parse(source, number, problems)?;
    fill_in::fill_in(&mut document, &|name| std::env::var_os(name), problems);
    Some(document)
}

/// Reads a file, or says why that is not possible.
pub(crate) fn read(path: &Path) -> Result<Source, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| {
        let rule = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        unreadable(path, None, rule)
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(path, text)),
        Err(error) => Err(not_utf8(path, &error)),
    }
}

/// Says where a file stops being UTF-8.
fn not_utf8(path: &Path, error: &FromUtf8Error) -> ConfigError {
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return unreadable(path, None, "is UTF-16; save it as UTF-8".to_owned());
    }
    let before = &bytes[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = at
        - before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1)
        + 1;
    let rule = format!(
        "must be UTF-8, and byte {column} of this line (0x{:02X}) is not",
        bytes.get(at).copied().unwrap_or_default()
    );
    unreadable(path, Some(line), rule)
}

fn unreadable(path: &Path, line: Option<usize>, rule: String) -> ConfigError {
    ConfigError {
        file: path.to_owned(),
        line,
        key: String::new(),
        value: None,
        rule,
    }
}
