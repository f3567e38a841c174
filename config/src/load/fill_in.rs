//! Fills in what a string takes from elsewhere: `${NAME}` from Penstock's environment, with
//! `${NAME:-default}` for a variable that is not set or empty, and `${file:PATH}` from a file.
//! `$${` stands for `${` itself. Text of a shell is left alone: the shell has variables of its own.

use std::{
    borrow::Cow,
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{document::Document, error::Problems, key_path::KeyPath};

/// The longest file that is filled in. A secret is short; a device or a log must not fill the memory.
const FILE_MAX: u64 = 64 << 10;

/// The value of an environment variable.
type Lookup<'l> = &'l dyn Fn(&str) -> Option<OsString>;

/// Fills in all strings of a document. A string for which that is not possible is reported and left as it is.
pub(super) fn fill_in(document: &mut Document<'_>, variable: Lookup<'_>, problems: &mut Problems) {
    let mut walk = Walk {
        folder: document.source.folder.clone(),
        variable,
        filled: Vec::new(),
        faults: Vec::new(),
    };
    walk.table(&mut document.root, &KeyPath::default());
    let Walk { filled, faults, .. } = walk;
    document.filled_in.extend(filled);
    for (at, path, rule) in faults {
        document.report(problems, &path, rule);
        document.not_filled_in.insert(at);
    }
}

struct Walk<'w> {
    folder: PathBuf,
    variable: Lookup<'w>,
    /// Where the values begin that were changed.
    filled: Vec<usize>,
    /// Where those begin that could not be, and why.
    faults: Vec<(usize, KeyPath, String)>,
}

impl Walk<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, path: &KeyPath) {
        for (key, value) in table.iter_mut() {
            let key = key.get_ref().as_ref();
            if key != "shell" {
                self.value(value, &path.key(key));
            }
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, path: &KeyPath) {
        let at = value.span().start;
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(array) => {
                for (index, element) in array.iter_mut().enumerate() {
                    self.value(element, &path.index(index));
                }
            }
            DeValue::String(string) if string.contains("${") => {
                match filled(string, &self.folder, self.variable) {
                    Ok(text) => {
                        *string = Cow::Owned(text);
                        self.filled.push(at);
                    }
                    Err(rule) => self.faults.push((at, path.clone(), rule)),
                }
            }
            _ => {}
        }
    }
}

/// The string with everything filled in, or what is wrong with it. What was filled in is not looked at again.
fn filled(string: &str, folder: &Path, variable: Lookup<'_>) -> Result<String, String> {
    let mut text = String::with_capacity(string.len());
    let mut rest = string;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            rest = after;
            continue;
        }
        text.push_str(before);
        let Some((reference, after)) = after.split_once('}') else {
            return Err("has a ${ without its }; write $${ for the text ${".to_owned());
        };
        text.push_str(&resolved(reference, folder, variable)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// What stands for the text between the braces.
fn resolved(reference: &str, folder: &Path, variable: Lookup<'_>) -> Result<String, String> {
    if reference.contains("${") {
        return Err(format!(
            "${{{reference}}} has a ${{ in it; a default cannot hold another one"
        ));
    }
    if let Some(path) = reference.strip_prefix("file:") {
        return content(&folder.join(path)).map_err(|error| format!("{path} {error}"));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(is_name)
    {
        return Err(format!(
            "${{{reference}}} is not ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}; write $${{ for the text ${{"
        ));
    }
    match (variable(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => value
            .into_string()
            .map_err(|_| format!("the environment variable {name} is not UTF-8")),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(missing(name)),
    }
}

fn missing(name: &str) -> String {
    let hint = match name {
        "PORT" => "; the port of a worker is {port}",
        _ => "",
    };
    format!(
        "the environment variable {name} is not set; set it, give a default by ${{{name}:-…}}, or write $${{{name}}} for the text itself{hint}"
    )
}

/// The text of a file without the line break at its end, or why it cannot be had.
fn content(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    // Looked at first: to open a pipe waits for its other end, maybe for ever.
    let is_file = std::fs::metadata(path).map(|found| found.is_file());
    if is_file.as_ref().is_ok_and(|is_file| !is_file) {
        return Err("is not a file".to_owned());
    }
    let read = is_file
        .and_then(|_| std::fs::File::open(path))
        .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err("is not UTF-8".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(length) if length as u64 > FILE_MAX => Err("is longer than 64 KiB".to_owned()),
        Ok(_) => {
            let trimmed = text.strip_suffix('\n').unwrap_or(&text);
            Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(string: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "NAME" => Some("value".into()),
            "TRICKY" => Some("${NAME}".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        };
        filled(string, Path::new(env!("CARGO_MANIFEST_DIR")), &variable)
    }

    #[test]
    fn variables_and_defaults_are_filled_in_once() {
        assert_eq!(with("a ${NAME} and ${NAME}").unwrap(), "a value and value");
        assert_eq!(with("${MISSING:-8080}").unwrap(), "8080");
        assert_eq!(with("${EMPTY:-8080}").unwrap(), "8080");
        assert_eq!(with("<${EMPTY}>").unwrap(), "<>");
        assert_eq!(with("${MISSING:-}").unwrap(), "");
        // What a variable holds is not looked at: whoever sets it does not write the file.
        assert_eq!(with("${TRICKY}").unwrap(), "${NAME}");
        assert_eq!(with("$${NAME} $NAME $5").unwrap(), "${NAME} $NAME $5");
    }

    #[test]
    fn what_is_missing_or_malformed_is_told() {
        let error = with("${MISSING}").unwrap_err();
        assert!(
            error.starts_with("the environment variable MISSING is not set"),
            "{error}"
        );
        assert!(with("${PORT}").unwrap_err().ends_with("is {port}"));
        for malformed in ["${}", "${1A}", "${A B}", "${A-b}", "${:-x}"] {
            let error = with(malformed).unwrap_err();
            assert!(error.contains("is not ${NAME}"), "{malformed}: {error}");
        }
        assert!(with("${NAME").unwrap_err().contains("without its }"));
        let error = with("${MISSING:-${NAME}}").unwrap_err();
        assert!(error.contains("cannot hold another"), "{error}");
    }

    #[test]
    fn a_file_is_filled_in_without_its_last_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let fill = |text: &[u8]| {
            std::fs::write(dir.path().join("secret"), text).unwrap();
            filled("<${file:secret}>", dir.path(), &|_| None)
        };
        assert_eq!(fill(b"hf_x\n").unwrap(), "<hf_x>");
        assert_eq!(fill(b"a\r\nb\r\n").unwrap(), "<a\r\nb>");
        assert_eq!(fill(b"\xFF").unwrap_err(), "secret is not UTF-8");
        assert_eq!(
            fill(&vec![b'a'; 65_537]).unwrap_err(),
            "secret is longer than 64 KiB"
        );
        std::fs::remove_file(dir.path().join("secret")).unwrap();
        let error = filled("${file:secret}", dir.path(), &|_| None).unwrap_err();
        assert_eq!(error, "secret does not exist");
        let error = filled("${file:.}", dir.path(), &|_| None).unwrap_err();
        assert_eq!(error, ". is not a file");
    }
}
