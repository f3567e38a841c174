//! The files of a configuration with the places of their values.

mod syntax;

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    error::{ConfigError, Problems},
    key_path::{KeyPath, Segment},
};

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name, for errors.
    pub(crate) file: PathBuf,
    /// Its folder, absolute: where its relative paths begin.
    pub(crate) folder: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(file: &Path, text: String) -> Self {
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let after_newlines = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i + 1);
        Self {
            file: file.to_owned(),
            // Fails only when the working directory is gone; then relative paths have no meaning.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            lines: std::iter::once(0).chain(after_newlines).collect(),
            text,
        }
    }

    /// An error of the whole file, which shows in a line.
    fn error(&self, line: usize, rule: String) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: Some(line),
            key: String::new(),
            value: None,
            rule,
        }
    }

    /// The line of a position, from 1.
    fn line(&self, position: usize) -> usize {
        self.lines.partition_point(|start| *start <= position)
    }
}

/// A file that is TOML, at least.
pub(crate) struct Document<'a> {
    pub(crate) source: &'a Source,
    /// Which file it is, in the order of errors.
    pub(crate) number: usize,
    pub(crate) root: DeTable<'a>,
    /// Where the strings begin that were filled in from elsewhere.
    pub(crate) filled_in: HashSet<usize>,
    /// Where those begin for which that was not possible. They have their error, and need no other.
    pub(crate) not_filled_in: HashSet<usize>,
}

impl<'a> Document<'a> {
    /// `None`, with the errors reported, when the file is no TOML. A key that is there twice is an error
    /// too, but all else can be checked.
    pub(crate) fn parse(
        source: &'a Source,
        number: usize,
        problems: &mut Problems,
    ) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(&source.text);
        let foreign = (!errors.is_empty())
            .then(|| syntax::other_language(&source.file, &source.text))
            .flatten();
        if let Some((line, rule)) = foreign {
            problems.add(number, &KeyPath::default(), source.error(line, rule));
            return None;
        }
        let mut last = None;
        let mut is_whole = true;
        for error in &errors {
            let explained = syntax::explain(source, error);
            let (path, error) = (explained.path, explained.error);
            is_whole &= explained.is_confined;
            // The parser may find the same fault twice while it recovers.
            if last.replace(error.clone()).as_ref() != Some(&error) {
                problems.add(number, &path, error);
            }
        }
        is_whole.then(|| Self {
            source,
            number,
            root: root.into_inner(),
            filled_in: HashSet::new(),
            not_filled_in: HashSet::new(),
        })
    }

    /// Whether the value is a string that was filled in from elsewhere, and so may stand for another type.
    pub(crate) fn is_filled_in(&self, path: &KeyPath) -> bool {
        self.is_among(&self.filled_in, path)
    }

    fn is_among(&self, places: &HashSet<usize>, path: &KeyPath) -> bool {
        // Most files have none, and need not be searched for each of their values.
        let value = || self.find(path).0.value;
        !places.is_empty() && value().is_some_and(|value| places.contains(&value.span().start))
    }

    /// Whether the file has this key.
    pub(crate) fn has(&self, path: &KeyPath) -> bool {
        self.find(path).1
    }

    /// Reports a broken rule at the key or, when the file does not have it, at the nearest table
    /// above it.
    pub(crate) fn report(&self, problems: &mut Problems, path: &KeyPath, rule: impl Into<String>) {
        self.add(problems, path, true, rule.into());
    }

    /// As [`report`](Self::report), for what may be secret or is of no interest.
    pub(crate) fn report_without_value(
        &self,
        problems: &mut Problems,
        path: &KeyPath,
        rule: impl Into<String>,
    ) {
        self.add(problems, path, false, rule.into());
    }

    /// `FILE:LINE` of a key.
    pub(crate) fn place(&self, path: &KeyPath) -> String {
        let line = self.source.line(self.find(path).0.at);
        format!("{}:{line}", self.source.file.display())
    }

    /// The error of a broken rule at the key, with its value.
    pub(crate) fn fault(&self, path: &KeyPath, rule: String) -> ConfigError {
        let (found, exact) = self.find(path);
        ConfigError {
            file: self.source.file.clone(),
            line: Some(self.source.line(found.at)),
            key: path.to_string(),
            value: found
                .value
                .filter(|_| exact && !path.is_secret())
                .and_then(|value| self.show(value)),
            rule,
        }
    }

    fn add(&self, problems: &mut Problems, path: &KeyPath, show_value: bool, rule: String) {
        if self.is_among(&self.not_filled_in, path) {
            return;
        }
        let mut error = self.fault(path, rule);
        if !show_value {
            error.value = None;
        }
        problems.add(self.number, path, error);
    }

    /// The value at the path, and whether the whole path was found.
    fn find(&self, path: &KeyPath) -> (Found<'_, 'a>, bool) {
        let mut table = Some(&self.root);
        let mut found = Found { at: 0, value: None };
        for segment in path.segments() {
            let next = match segment {
                Segment::Key(key) => table
                    .and_then(|table| table.get_key_value(key.as_str()))
                    .map(|(key, value)| Found {
                        // Tables have no good place of their own: theirs is where their name is.
                        at: key.span().start,
                        value: Some(value),
                    }),
                Segment::Index(index) => found
                    .value
                    .and_then(|value| value.as_ref().as_array()?.get(*index))
                    .map(|value| Found {
                        at: value.span().start,
                        value: Some(value),
                    }),
            };
            match next {
                Some(next) => found = next,
                None => return (found, false),
            }
            table = found.value.and_then(|value| value.as_ref().as_table());
        }
        (found, true)
    }

    /// The text of a value, when it fits in a message.
    fn show(&self, value: &Spanned<DeValue<'_>>) -> Option<String> {
        const LEN_MAX: usize = 60;
        let Range { start, end } = value.span();
        let text = self.source.text.get(start..end)?;
        let fits = text.chars().count() <= LEN_MAX && !text.contains('\n');
        (fits && !value.as_ref().is_table()).then(|| text.to_owned())
    }
}

/// A value and where it stands.
struct Found<'d, 'a> {
    at: usize,
    value: Option<&'d Spanned<DeValue<'a>>>,
}
