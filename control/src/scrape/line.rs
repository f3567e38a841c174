//! Lines of a Prometheus page, as text format 0.0.4 and OpenMetrics 1.0 write them.

use std::borrow::Cow;

/// The name that a line begins with; empty for comments, empty lines and what is no metric.
pub(super) fn name(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let length = line.iter().take_while(|byte| good(byte)).count();
    &line[..length]
}

/// What `# TYPE name kind` says.
pub(super) fn declared(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    if words.next()? != b"#" || words.next()? != b"TYPE" {
        return None;
    }
    Some((words.next()?, words.next()?))
}

/// Labels and value of a sample.
#[derive(Debug, PartialEq)]
pub(super) struct Parts<'l> {
    labels: Vec<(&'l [u8], Cow<'l, [u8]>)>,
    pub(super) value: f64,
}

impl Parts<'_> {
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        let is = |(known, has): &(&[u8], Cow<'_, [u8]>)| {
            *known == name.as_bytes() && **has == *value.as_bytes()
        };
        // A label that is not there is as good as an empty one.
        self.labels.iter().any(is)
            || (value.is_empty()
                && self
                    .labels
                    .iter()
                    .all(|(known, _)| *known != name.as_bytes()))
    }
}

/// Reads what stands after a sample's name. What comes after the value, a timestamp and an exemplar,
/// is not looked at. `None` when it is not as it should be.
pub(super) fn parts(after_name: &[u8]) -> Option<Parts<'_>> {
    let mut rest = after_name.trim_ascii_start();
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix(b"{") {
        rest = read_labels(inner, &mut labels)?;
    } else if rest.len() == after_name.len() {
        return None;
    }
    let value = rest
        .split(|byte| byte.is_ascii_whitespace())
        .find(|word| !word.is_empty())?;
    let value = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Parts { labels, value })
}

/// Reads labels up to the closing brace; what comes after it.
fn read_labels<'l>(
    mut rest: &'l [u8],
    labels: &mut Vec<(&'l [u8], Cow<'l, [u8]>)>,
) -> Option<&'l [u8]> {
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"}") {
            return Some(after);
        }
        let name = name(rest);
        rest = rest[name.len()..].trim_ascii_start();
        rest = rest.strip_prefix(b"=")?.trim_ascii_start();
        let (value, after) = quoted(rest.strip_prefix(b"\"")?)?;
        labels.push((name, value));
        rest = after.trim_ascii_start();
        match rest.strip_prefix(b",") {
            Some(after) => rest = after,
            None if rest.starts_with(b"}") => {}
            None => return None,
        }
    }
}

/// The text up to the closing quote, and what comes after it.
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut owned: Option<Vec<u8>> = None;
    let mut at = 0;
    loop {
        let byte = *text.get(at)?;
        match byte {
            b'"' => {
                let value = owned.map_or(Cow::Borrowed(&text[..at]), Cow::Owned);
                return Some((value, &text[at + 1..]));
            }
            b'\\' => {
                let value = owned.get_or_insert_with(|| text[..at].to_vec());
                at += 1;
                match *text.get(at)? {
                    b'n' => value.push(b'\n'),
                    escaped => value.push(escaped),
                }
            }
            byte => {
                if let Some(value) = &mut owned {
                    value.push(byte);
                }
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(after_name: &str) -> Option<f64> {
        parts(after_name.as_bytes()).map(|parts| parts.value)
    }

    #[test]
    fn the_value_is_the_first_word_after_name_and_labels() {
        for (text, expected) in [
            (" 1", 1.0),
            ("\t-2.5e3 1395066363000", -2500.0),
            ("{} 3", 3.0),
            ("{a=\"b\"}4", 4.0),
            (" { a = \"b\" , } 5", 5.0),
            ("{a=\"}\"} 6 # {trace=\"7\"} 0.67 1e9", 6.0),
            (" +Inf", f64::INFINITY),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
        assert!(value(" NaN").is_some_and(f64::is_nan));
        for text in [
            "",
            "1",
            " ",
            " x",
            "{ 1",
            "{a} 1",
            "{a=b} 1",
            "{a=\"b} 1",
            "{a=\"b\" c=\"d\"} 1",
            "{a=\"b\"}",
            "{,} 1",
            "{a=\"\\",
            " 1,5",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn labels_are_compared_without_their_escapes() {
        let parts = parts(br#"{a="x\"y\\z\n",b="}",c="\q"} 1"#).unwrap();
        assert!(parts.has("a", "x\"y\\z\n"));
        assert!(parts.has("b", "}") && parts.has("c", "q"));
        assert!(parts.has("d", "") && !parts.has("d", "1") && !parts.has("b", ""));
    }

    #[test]
    fn types_are_declared_in_comments() {
        let declared = |text: &'static str| declared(text.as_bytes());
        let counter = Some((&b"a_total"[..], &b"counter"[..]));
        assert_eq!(declared("# TYPE a_total counter"), counter);
        assert_eq!(declared("  #\tTYPE  a_total\tcounter\r"), counter);
        for text in ["# HELP a counter", "#TYPE a counter", "# TYPE a", "", "a 1"] {
            assert_eq!(declared(text), None, "{text}");
        }
    }
}
