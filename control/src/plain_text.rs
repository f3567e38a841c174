//! The words of workers, fit for a terminal.

use std::borrow::Cow;

/// A line without colours, other escape sequences and control characters; a tab stays.
///
/// What a worker writes may be the words of whoever sends it requests, and a terminal obeys escape
/// sequences: they can hide lines, write over them or type commands. Colours go too, because they are
/// made of the same sequences, and because one that is not ended would colour the lines of others.
pub(crate) fn plain(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_harmful) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_sequence(&mut chars),
            // The same in one character: "control sequence introducer" and those with a string.
            '\u{9b}' => skip_until_final(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            char if is_harmful(char) => {}
            char => text.push(char),
        }
    }
    Cow::Owned(text)
}

/// Control characters, and those that turn the direction of writing.
fn is_harmful(char: char) -> bool {
    char.is_control() && char != '\t'
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What follows an ESC.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => skip_until_final(chars),
        Some('P' | 'X' | ']' | '^' | '_') => skip_string(chars),
        // Two or three characters; the last one is from 0 on.
        Some(' '..='/') => {
            chars.find(|char| !(' '..='/').contains(char));
        }
        _ => {}
    }
}

/// A control sequence ends with its first letter or sign from @ to ~.
fn skip_until_final(chars: &mut std::str::Chars<'_>) {
    chars.find(|char| ('@'..='~').contains(char));
}

/// A string ends with BEL, or with ESC \ or its one-character form.
fn skip_string(chars: &mut std::str::Chars<'_>) {
    while let Some(char) = chars.next() {
        match char {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next();
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (line, shown) in [
            ("plain ünïcode\twith a tab", "plain ünïcode\twith a tab"),
            ("\u{1b}[1;31mERROR\u{1b}[0m: out", "ERROR: out"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            (
                "a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\b",
                "alinkb",
            ),
            ("a\u{1b}Pq~~~\u{1b}\\b", "ab"),
            ("a\u{1b}(Bb\u{1b}cc", "abc"),
            ("a\u{9b}31mb\u{9d}x\u{9c}c", "abc"),
            (
                "bell\u{7} back\u{8} return\r null\0",
                "bell back return null",
            ),
            ("abc\u{202e}fed\u{2066}", "abcfed"),
            ("unended \u{1b}[31", "unended "),
            ("unended \u{1b}]0;", "unended "),
            ("unended \u{1b}", "unended "),
        ] {
            assert_eq!(plain(line), shown, "{line:?}");
        }
    }
}
