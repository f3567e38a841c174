//! What stands in field values: lists and lengths.

use super::{field::Field, lines::Lines};
use crate::base::headers::{is_option, members};

/// Whether one of the values has this member, in any case.
pub(crate) fn has_member<'v>(values: impl Iterator<Item = &'v [u8]>, member: &str) -> bool {
    let mut all = values.flat_map(members);
    all.any(|one| one.eq_ignore_ascii_case(member.as_bytes()))
}

/// What the `Connection` fields of a head name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// `close`
    pub(crate) closes: bool,
    /// `keep-alive`
    pub(crate) keeps_alive: bool,
    /// `upgrade`
    pub(crate) upgrades: bool,
    /// Fields beside the usual options.
    pub(crate) nominates: bool,
}

impl Options {
    /// Those of a head, looked at once.
    pub(super) fn of(lines: &Lines) -> Self {
        let mut this = Self::default();
        let mut values = lines.values(Field::Connection);
        // Most that have one say this and nothing else.
        if let (Some(b"keep-alive" | b"Keep-Alive"), None) = (values.next(), values.next()) {
            this.keeps_alive = true;
            return this;
        }
        for option in lines.values(Field::Connection).flat_map(members) {
            let is = |text: &str| option.eq_ignore_ascii_case(text.as_bytes());
            if is("keep-alive") {
                this.keeps_alive = true;
            } else if is("close") {
                this.closes = true;
            } else if is("upgrade") {
                this.upgrades = true;
            } else {
                this.nominates |= !is_option(option);
            }
        }
        this
    }
}

/// Lengths that differ, or are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadLength;

/// The length that the values of `Content-Length` name, if there are any. Equal ones, on several lines or in
/// a list, are one (RFC 9110 §8.6).
pub(crate) fn content_length<'v>(
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<Option<u64>, BadLength> {
    let mut known = None;
    for value in values {
        for part in value.split(|byte| *byte == b',') {
            let length = number(part.trim_ascii()).ok_or(BadLength)?;
            if known.is_some_and(|known| known != length) {
                return Err(BadLength);
            }
            known = Some(length);
        }
    }
    Ok(known)
}

/// The length that `Content-Length` names, which must be there once. A client that writes it twice may want
/// to be understood in two ways.
pub(crate) fn one_length<'v>(
    mut values: impl Iterator<Item = &'v [u8]>,
) -> Result<Option<u64>, BadLength> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => number(only).map(Some).ok_or(BadLength),
        (Some(_), Some(_)) => Err(BadLength),
    }
}

/// Digits and nothing else, of a number that fits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_names_one_length_once() {
        let of = |values: &[&'static str]| one_length(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["17"]), Ok(Some(17)));
        for bad in [&["3", "3"][..], &["3, 3"], &[""], &["1 "]] {
            assert_eq!(of(bad), Err(BadLength), "{bad:?}");
        }
    }

    #[test]
    fn equal_lengths_are_one_and_everything_else_is_none() {
        let of =
            |values: &[&'static str]| content_length(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["0"]), Ok(Some(0)));
        assert_eq!(of(&["3", "3"]), Ok(Some(3)));
        assert_eq!(of(&["3, 3"]), Ok(Some(3)));
        assert_eq!(of(&["18446744073709551615"]), Ok(Some(u64::MAX)));
        for bad in [
            &["3", "4"][..],
            &["3, 4"],
            &[""],
            &["3,"],
            &["+3"],
            &["-3"],
            &["0x3"],
            &["3 3"],
            &["18446744073709551616"],
            &["3", ""],
        ] {
            assert_eq!(of(bad), Err(BadLength), "{bad:?}");
        }
    }
}
