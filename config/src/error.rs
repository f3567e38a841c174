//! What is wrong with a configuration: everything at once, each with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use crate::key_path::{KeyPath, Segment};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file it is in, as it was given or found.
    pub file: PathBuf,
    /// The line, from 1. `None` when the whole file is meant.
    pub line: Option<usize>,
    /// The key, such as `services.chat.queue.max_wait`; empty when the whole file is meant.
    pub key: String,
    /// The value as the file has it, when it is short and there is one.
    pub value: Option<String>,
    /// The rule that was broken.
    pub rule: String,
}

/// `FILE:LINE: key = value: rule`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        match (&*self.key, &self.value) {
            ("", _) => {}
            (key, None) => write!(f, " {key}:")?,
            (key, Some(value)) => write!(f, " {key} = {value}:")?,
        }
        write!(f, " {}", self.rule)
    }
}

/// Everything that is wrong with a configuration, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One error per line.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects errors while a configuration is read.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// With the number of the file, for the order.
    errors: Vec<(usize, ConfigError)>,
    /// The keys that have an error, so that no second error follows from the first.
    keys: BTreeSet<KeyPath>,
    /// Lists some elements of which are wrong, with the places of the others.
    cut_lists: BTreeMap<KeyPath, Vec<usize>>,
}

impl Problems {
    /// Notes that of the list at this key only the elements at these places are left. Of a key that two
    /// files have, the first counts.
    pub(crate) fn cut_list(&mut self, list: &KeyPath, left: Vec<usize>) {
        self.cut_lists.entry(list.clone()).or_insert(left);
    }

    /// The path in the file of what has this path in what is left of it.
    pub(crate) fn in_file(&self, path: &KeyPath) -> KeyPath {
        if self.cut_lists.is_empty() {
            return path.clone();
        }
        let mut in_file = KeyPath::default();
        for segment in path.segments() {
            in_file = match segment {
                Segment::Key(key) => in_file.key(key),
                Segment::Index(index) => {
                    let left = self.cut_lists.get(&in_file);
                    let place = left.and_then(|left| left.get(*index));
                    in_file.index(*place.unwrap_or(index))
                }
            };
        }
        in_file
    }

    /// Adds an error of the key in the `file`-th file.
    pub(crate) fn add(&mut self, file: usize, key: &KeyPath, error: ConfigError) {
        self.keys.insert(key.clone());
        self.errors.push((file, error));
    }

    /// Whether the key or anything below it has an error.
    pub(crate) fn touches(&self, key: &KeyPath) -> bool {
        self.any_below(key, |_| true)
    }

    /// Whether an error at or below the key fits: what is asked gets the way from the key to it.
    pub(crate) fn any_below(&self, key: &KeyPath, fits: impl Fn(&[Segment]) -> bool) -> bool {
        let length = key.segments().len();
        let mut below = self
            .keys
            .range(key..)
            .take_while(|found| found.starts_with(key));
        below.any(|found| fits(&found.segments()[length..]))
    }

    /// Whether the key itself has an error.
    pub(crate) fn has(&self, key: &KeyPath) -> bool {
        self.keys.contains(key)
    }

    /// What was found, in the order in which it was.
    pub(crate) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_iter().map(|(_, error)| error).collect()
    }

    /// The value when there was no error, else the errors.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        if let (true, Some(value)) = (self.errors.is_empty(), value) {
            return Ok(value);
        }
        self.errors.sort_by_key(|(file, error)| (*file, error.line));
        Err(ConfigErrors(
            self.errors.into_iter().map(|(_, error)| error).collect(),
        ))
    }
}
