//! What is told of a file that is no TOML: which key is there twice and where, and which language it
//! looks like.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Source;
use crate::{
    error::ConfigError,
    key_path::{KeyPath, Segment},
};

/// What the parser says of a key, or of a table's name, that is there already.
const TWICE: &str = "duplicate key";

/// What the parser says of a table that cannot be added to begins so.
const CLOSED: &str = "cannot extend value of type ";

/// A key that no file has.
const MARK: &str = "penstock-marks-this-key";

/// What is told of an error that the parser found.
pub(super) struct Explained {
    /// The key it is about; the root when it is about none.
    pub(super) path: KeyPath,
    pub(super) error: ConfigError,
    /// Whether the parser left out nothing but this one key, so that all else can be checked.
    pub(super) is_confined: bool,
}

pub(super) fn explain(source: &Source, error: &toml::de::Error) -> Explained {
    let at = error.span().map(|span| span.start);
    let about = error
        .span()
        .filter(|_| error.message() == TWICE || error.message().starts_with(CLOSED))
        .and_then(|span| Clash::find(source, span.start, span.end));
    let is_confined = about.as_ref().is_some_and(Clash::is_confined);
    let (path, rule) = match about {
        Some(clash) => (clash.path.clone(), clash.rule(source)),
        None => {
            let message = error.message().replace('\n', "; ");
            (KeyPath::default(), format!("not valid TOML: {message}"))
        }
    };
    let error = ConfigError {
        file: source.file.clone(),
        line: at.map(|at| source.line(at)),
        key: path.to_string(),
        value: None,
        rule,
    };
    Explained {
        path,
        error,
        is_confined,
    }
}

/// A key that cannot be where it is because of an earlier one.
struct Clash {
    /// The key as it is meant.
    path: KeyPath,
    /// How much of the path is there already.
    known: usize,
    /// Where that begins.
    first: usize,
    is_header: bool,
    kind: Kind,
}

/// What there is already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A table in braces, which is complete.
    Inline,
    /// A list, of tables or of others.
    List,
    /// A table or a value.
    Other,
}

impl Clash {
    /// The key that ends at `end` of the text. Under which table it comes is told by the parser itself,
    /// which reads the text once more with a mark in the key's place.
    fn find(source: &Source, start: usize, end: usize) -> Option<Self> {
        let text = &source.text;
        let is_of_key = |c: char| c.is_alphanumeric() || "-_.\"' \t".contains(c);
        let before = text.get(..start)?;
        let kept = before.trim_end_matches(is_of_key).len();
        let begin = kept + before[kept..].len() - before[kept..].trim_start().len();
        let own = keys_of(text.get(begin..end)?)?;
        // Without what follows: of two tables of one name the parser keeps the second one.
        let rest = text.get(end..)?;
        let rest = rest.split_inclusive('\n').next().unwrap_or_default();
        let marked = [text.get(..begin)?, MARK, rest].concat();
        let (root, _) = DeTable::parse_recoverable(&marked);
        let root = root.into_inner();
        let mut path = parent_of_mark(&root, &KeyPath::default())?;
        for key in &own {
            path = path.key(key);
        }
        let (known, first, kind) = longest_known(&root, &marked, &path);
        (known > 0).then(|| Self {
            is_header: before[..kept].ends_with('['),
            path,
            known,
            first,
            kind,
        })
    }

    fn is_confined(&self) -> bool {
        !self.is_header && self.known == self.path.segments().len()
    }

    fn rule(&self, source: &Source) -> String {
        let line = source.line(self.first);
        if self.known == self.path.segments().len() {
            return match (self.is_header, self.kind) {
                (true, Kind::List) => {
                    format!(
                        "is a list since line {line}: a further table of it is [[{}]]",
                        self.path
                    )
                }
                (_, Kind::Inline) => format!(
                    "is complete within its braces in line {line}: put the further keys between them"
                ),
                (true, Kind::Other) => {
                    format!(
                        "is there already, in line {line}: put the keys of both under one header"
                    )
                }
                (false, Kind::List | Kind::Other) => format!("is set already, in line {line}"),
            };
        }
        let mut table = KeyPath::default();
        for segment in &self.path.segments()[..self.known] {
            table = match segment {
                Segment::Key(key) => table.key(key),
                Segment::Index(index) => table.index(*index),
            };
        }
        format!("the table {table} is there already, in line {line}: put this key there")
    }
}

/// The keys of a dotted one.
fn keys_of(dotted: &str) -> Option<Vec<String>> {
    let line = format!("{dotted} = 0");
    let table: toml::Table = line.parse().ok()?;
    let mut keys = Vec::new();
    let mut level = &table;
    loop {
        let (key, value) = level.iter().next()?;
        keys.push(key.clone());
        match value.as_table() {
            Some(next) => level = next,
            None => return Some(keys),
        }
    }
}

/// The table that has the mark.
fn parent_of_mark(table: &DeTable<'_>, path: &KeyPath) -> Option<KeyPath> {
    if table.contains_key(MARK) {
        return Some(path.clone());
    }
    table
        .iter()
        .find_map(|(key, value)| below(value, &path.key(key.get_ref())))
}

fn below(value: &Spanned<DeValue<'_>>, path: &KeyPath) -> Option<KeyPath> {
    match value.get_ref() {
        DeValue::Table(table) => parent_of_mark(table, path),
        DeValue::Array(array) => array
            .iter()
            .enumerate()
            .find_map(|(index, value)| below(value, &path.index(index))),
        _ => None,
    }
}

/// How many segments of a path there are, where the last of them stands, and what it is.
fn longest_known(root: &DeTable<'_>, text: &str, path: &KeyPath) -> (usize, usize, Kind) {
    let mut table = Some(root);
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    let (mut known, mut first) = (0, 0);
    for segment in path.segments() {
        let next = match segment {
            Segment::Key(key) => table
                .and_then(|table| table.get_key_value(key.as_str()))
                .map(|(key, value)| (key.span().start, value)),
            Segment::Index(index) => value
                .and_then(|value| value.get_ref().as_array()?.get(*index))
                .map(|value| (value.span().start, value)),
        };
        let Some((at, found)) = next else { break };
        (known, first, value) = (known + 1, at, Some(found));
        table = found.get_ref().as_table();
    }
    let kind = match value.map(|value| (value.get_ref(), value.span().start)) {
        Some((DeValue::Table(_), at)) if text[at..].starts_with('{') => Kind::Inline,
        Some((DeValue::Array(_), _)) => Kind::List,
        _ => Kind::Other,
    };
    (known, first, kind)
}

/// The language that a file looks like which is no TOML, with what to do, and where that shows.
pub(super) fn other_language(file: &Path, text: &str) -> Option<(usize, String)> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let mut lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let (index, first) = lines.next().unwrap_or_default();
    let language = if matches!(extension, Some("yaml" | "yml")) || is_yaml(first) {
        "YAML"
    } else if extension == Some("json") || first.trim_start().starts_with('{') {
        "JSON"
    } else {
        return None;
    };
    let rule = format!(
        "not valid TOML: this looks like {language}; in TOML it is: \
         listeners = [{{ address = \"127.0.0.1:8080\" }}]"
    );
    Some((index + 1, rule))
}

/// Whether a line can only be YAML: `---`, `key:` or `- element`.
fn is_yaml(line: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    };
    let key = line
        .split_once(':')
        .filter(|(_, value)| value.is_empty() || value.starts_with(' '));
    line.starts_with("---") || line.starts_with("- ") || key.is_some_and(|(key, _)| is_name(key))
}
