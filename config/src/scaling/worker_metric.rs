//! A metric of the workers' own Prometheus pages, as a rule names it.

use std::fmt;

/// Samples of a worker's page: those of one name that have all of some labels. Several of them on one
/// page, such as one for each model, are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerMetric {
    /// The name of the samples: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    pub name: String,
    /// Labels, by name, that a sample must have with just this value. None is there twice.
    pub labels: Vec<(String, String)>,
}

const NAME_RULE: &str = "must have the name of a Prometheus metric after \"worker:\": letters, digits, \
                         _ and :, not beginning with a digit";
const LABELS_RULE: &str = "must have labels such as {model=\"x\",engine=\"0\"} after the name, with quoted values \
                           (\\\" for a quote, \\\\ for a backslash)";

impl WorkerMetric {
    /// Reads `name` or `name{label="value",…}`.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, labels) = match text.find('{') {
            None => (text, ""),
            Some(at) => text.split_at(at),
        };
        if !is_name(name, true) {
            return Err(NAME_RULE.to_owned());
        }
        let mut labels = match labels {
            "" => Vec::new(),
            labels => parse_labels(labels)?,
        };
        labels.sort();
        if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("names the label {} twice", pair[0].0));
        }
        Ok(Self {
            name: name.to_owned(),
            labels,
        })
    }
}

/// Names of labels have no colon.
fn is_name(text: &str, colons: bool) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    text.chars().all(good) && text.starts_with(|c: char| !c.is_ascii_digit())
}

fn parse_labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    let mut rest = inner.ok_or(LABELS_RULE)?.trim();
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(LABELS_RULE)?;
        let after = after.trim_start();
        if name.ends_with('!') || after.starts_with('~') {
            return Err("labels can be compared with = only".to_owned());
        }
        let name = name.trim();
        if !is_name(name, false) {
            return Err(LABELS_RULE.to_owned());
        }
        let (value, after) = quoted(after).ok_or(LABELS_RULE)?;
        labels.push((name.to_owned(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return Err(LABELS_RULE.to_owned()),
        };
    }
    Ok(labels)
}

/// A quoted text, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('"' | '\\') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

impl fmt::Display for WorkerMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (place, (name, value)) in self.labels.iter().enumerate() {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            write!(
                f,
                "{}{name}=\"{value}\"",
                if place == 0 { '{' } else { ',' }
            )?;
        }
        if !self.labels.is_empty() {
            f.write_str("}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_labels_is_read_and_written_the_same() {
        for text in [
            "vllm:num_requests_waiting",
            "_x",
            r#"a{b="c"}"#,
            r#"a{b="",c="a \"b\" \\ \n, }=ü"}"#,
        ] {
            assert_eq!(
                WorkerMetric::parse(text).map(|m| m.to_string()).as_deref(),
                Ok(text)
            );
        }
        let spaced = WorkerMetric::parse(r#"a{ y = "2" , x="1", }"#);
        assert_eq!(
            spaced.map(|m| m.to_string()).as_deref(),
            Ok(r#"a{x="1",y="2"}"#)
        );
        assert_eq!(WorkerMetric::parse("a{}").map(|m| m.labels), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_name_or_no_labels_is_refused() {
        for text in ["", "1a", "a-b", "a b", " a", "ä", "{x=\"1\"}"] {
            assert_eq!(
                WorkerMetric::parse(text),
                Err(NAME_RULE.to_owned()),
                "{text}"
            );
        }
        for text in [
            "a{",
            "a}",
            "a{x}",
            "a{x=1}",
            "a{x=\"1}",
            "a{x=\"1\"}}",
            "a{x=\"1\" y=\"2\"}",
            "a{x=\"\\q\"}",
            "a{:=\"1\"}",
            "a{,}",
        ] {
            assert!(WorkerMetric::parse(text).is_err(), "{text}");
        }
        for text in ["a{x!=\"1\"}", "a{x=~\"1\"}"] {
            let error = WorkerMetric::parse(text).unwrap_err();
            assert!(error.contains("with = only"), "{text}: {error}");
        }
        let twice = WorkerMetric::parse("a{x=\"1\",x=\"2\"}");
        assert_eq!(twice, Err("names the label x twice".to_owned()));
    }
}
