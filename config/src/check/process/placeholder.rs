//! `{port}` in commands and environments, and what people write in its place.

use crate::{check::Check, key_path::KeyPath};

/// Who fills in what stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Filled {
    /// Penstock alone: nothing but `{port}` means anything.
    Penstock,
    /// The same, for a program in a container.
    Container,
    /// A shell too, which knows `$PORT` and has braces of its own.
    Shell,
    /// Nobody: the text is taken as it is.
    Nobody,
}

/// Words in braces by which people mean the address to listen at.
const ADDRESSES: [&str; 7] = ["addr", "address", "bind", "host", "ip", "listen", "url"];

/// Characters before a brace that make it somebody else's: `%{http_code}` is curl's, `${HOME}` a shell's,
/// `{{ name }}` a template's.
const OF_OTHERS: [char; 6] = ['$', '%', '#', '@', '\\', '{'];

/// Refuses what was surely meant to be filled in and would not be.
pub(in crate::check) fn check(check: &mut Check<'_>, path: &KeyPath, text: &str, filled: Filled) {
    if let Some(rule) = mistake(text, filled) {
        check.error_without_value(path, rule);
    }
}

fn mistake(text: &str, filled: Filled) -> Option<String> {
    let in_braces = || in_braces(text).find_map(|found| wrong_word(found, filled));
    let of_shell = || {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut after = text.split("$PORT").skip(1);
        let found = after.any(|rest| !rest.starts_with(is_name));
        found.then(|| "$PORT is not filled in without a shell; write {port}".to_owned())
    };
    match filled {
        Filled::Penstock | Filled::Container => in_braces().or_else(of_shell),
        Filled::Shell | Filled::Nobody => in_braces(),
    }
}

/// What is wrong with a word in braces, and the character before them.
fn wrong_word((before, word): (Option<char>, &str), filled: Filled) -> Option<String> {
    let written = match before {
        Some('$') => format!("${{{word}}}"),
        Some('{') => format!("{{{{{word}}}}}"),
        _ => format!("{{{word}}}"),
    };
    let of_others = before.is_some_and(|before| OF_OTHERS.contains(&before));
    let name = word.trim();
    if filled == Filled::Nobody {
        let rule = format!("{written} is not filled in here; write what is meant");
        return (!of_others && is_name(word)).then_some(rule);
    }
    let by_shell = before == Some('$') && filled == Filled::Shell;
    if by_shell || word == "port" && !matches!(before, Some('$' | '{')) {
        return None;
    }
    if name.eq_ignore_ascii_case("port") {
        return Some(format!("{written} is not filled in; write {{port}}"));
    }
    if filled == Filled::Shell {
        return None;
    }
    if ADDRESSES.iter().any(|one| name.eq_ignore_ascii_case(one)) && before != Some('%') {
        let listens = match filled {
            Filled::Container => "programs in containers listen on 0.0.0.0",
            _ => "workers listen on 127.0.0.1",
        };
        return Some(format!(
            "{written} is not filled in: only {{port}} is, and {listens}"
        ));
    }
    (!of_others && is_name(word)).then(|| {
        if filled == Filled::Container {
            return format!(
                "{written} is not filled in: only {{port}} is; braces that the program itself is to \
                 see can stand in a line for a shell: \"sh\", \"-c\", \"...\""
            );
        }
        format!(
            "{written} is not filled in: only {{port}} is; braces that the program itself is to see can \
             stand in a line for a shell: shell = \"...\", or \"sh\", \"-c\", \"...\""
        )
    })
}

/// Whether a word in braces is one name and nothing else, as a variable has it.
fn is_name(word: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.starts_with(begins) && word.chars().all(goes_on)
}

/// Every word in braces, with the character before its brace.
fn in_braces(text: &str) -> impl Iterator<Item = (Option<char>, &str)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let word = &rest[..rest.find('}')?];
        let before = text[..at].chars().next_back();
        is_name(word.trim()).then_some((before, word))
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
            "{model}",
            "--served-model-name={MODEL_NAME}",
            "/models/{model}/{port}",
            "{rank0}",
        ] {
            assert!(mistake(text, Filled::Penstock).is_some(), "{text}");
        }
        for text in [
            "{port}",
            "http://x:{port}/",
            r#"{"port": 1}"#,
            r#"{"a": {"b": [1, {"c": null}]}}"#,
            "{}",
            "{a,b}",
            "{1}",
            "[0-9]{3}",
            "{{ messages }}",
            "{{model}}",
            "{% for m in messages %}{{ m.text }}{% endfor %}",
            "%{http_code}",
            "${HOME}",
            "#{name}",
            "{a b}",
            "{a",
            "$PORTAL",
            "ü{port}",
        ] {
            assert_eq!(mistake(text, Filled::Penstock), None, "{text}");
        }
    }

    #[test]
    fn where_nothing_is_filled_in_a_port_is_not_either() {
        let rule = mistake("/health?of={port}", Filled::Nobody);
        let told = "{port} is not filled in here; write what is meant";
        assert_eq!(rule.as_deref(), Some(told));
        assert_eq!(mistake("/v2/%7B", Filled::Nobody), None);
    }

    #[test]
    fn a_shell_fills_in_what_is_its_own() {
        for text in [
            "serve $PORT ${PORT} {port}",
            "awk '{print}'",
            "echo ${host} {a,b} {1..3}",
            "xargs -I {name} cp {name} /tmp",
        ] {
            assert_eq!(mistake(text, Filled::Shell), None, "{text}");
        }
        let rule = mistake("serve --port {PORT}", Filled::Shell).unwrap();
        assert_eq!(rule, "{PORT} is not filled in; write {port}");
    }
}
