//! `{port}` in commands and environments, and what people write in its place.

use crate::{check::Check, key_path::KeyPath};

/// Who fills in what stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// Penstock alone: nothing but `{port}` means anything.
    ByPenstock,
    /// A shell too, which knows `$PORT` and has braces of its own.
    ByShell,
}

/// Words in braces that others fill in and Penstock does not.
const OTHERS: [&str; 12] = [
    "addr", "address", "bind", "gpu", "gpus", "host", "id", "ip", "listen", "slot", "url", "worker",
];

/// Refuses what was surely meant to be filled in and would not be.
pub(super) fn check(check: &mut Check<'_>, path: &KeyPath, text: &str, filled: Filled) {
    if let Some(rule) = mistake(text, filled) {
        check.error_without_value(path, rule);
    }
}

fn mistake(text: &str, filled: Filled) -> Option<String> {
    let in_braces = in_braces(text).find_map(|(before, word)| {
        let name = word.trim();
        let by_shell = before == Some('$') && filled == Filled::ByShell;
        if by_shell || word == "port" && !matches!(before, Some('$' | '{')) {
            return None;
        }
        let written = match before {
            Some('$') => format!("${{{word}}}"),
            Some('{') => format!("{{{{{word}}}}}"),
            _ => format!("{{{word}}}"),
        };
        if name.eq_ignore_ascii_case("port") {
            return Some(format!("{written} is not filled in; write {{port}}"));
        }
        let known = OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other));
        (known && filled == Filled::ByPenstock).then(|| {
            format!("{written} is not filled in: only {{port}} is, and workers listen on 127.0.0.1")
        })
    });
    let of_shell = || {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut after = text.split("$PORT").skip(1);
        let found = after.any(|rest| !rest.starts_with(is_name));
        found.then(|| "$PORT is not filled in without a shell; write {port}".to_owned())
    };
    in_braces.or_else(|| of_shell().filter(|_| filled == Filled::ByPenstock))
}

/// Every word in braces, with the character before its brace.
fn in_braces(text: &str) -> impl Iterator<Item = (Option<char>, &str)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let word = &rest[..rest.find('}')?];
        let is_word = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ' ';
        let before = text[..at].chars().next_back();
        (!word.is_empty() && word.chars().all(is_word)).then_some((before, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_filled_in_is_found() {
        for text in [
            "{PORT}",
            "{Port}",
            "{ port }",
            "{{port}}",
            "${PORT}",
            "${port}",
            "--port=$PORT",
            "a$PORT/b",
            "{host}:{port}",
            "{GPUS}",
        ] {
            assert!(mistake(text, Filled::ByPenstock).is_some(), "{text}");
        }
        for text in [
            "{port}",
            "http://x:{port}/",
            r#"{"port": 1}"#,
            "{}",
            "{model}",
            "$PORTAL",
            "ü{port}",
        ] {
            assert_eq!(mistake(text, Filled::ByPenstock), None, "{text}");
        }
    }

    #[test]
    fn a_shell_fills_in_what_is_its_own() {
        for text in [
            "serve $PORT ${PORT} {port}",
            "awk '{print}'",
            "echo ${host}",
        ] {
            assert_eq!(mistake(text, Filled::ByShell), None, "{text}");
        }
        let rule = mistake("serve --port {PORT}", Filled::ByShell).unwrap();
        assert_eq!(rule, "{PORT} is not filled in; write {port}");
    }
}
