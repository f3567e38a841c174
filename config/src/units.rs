//! Durations and sizes as people write them: `"1m30s"`, `"64KiB"`.

use std::{fmt::Write, time::Duration};

/// Longest duration a setting may have. Far more than any request or worker lives; small enough
/// that adding it to a clock never overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Units of a duration in milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of a size in bytes, largest first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

const NOT_A_DURATION: &str =
    "must be a duration such as \"30s\", \"1m30s\" or \"100ms\" (units d, h, m, s, ms)";
const NOT_A_SIZE: &str =
    "must be a size such as \"64KiB\", \"16MiB\" or \"1GB\", or a whole number of bytes";

/// Reads a duration: whole numbers with the units `d`, `h`, `m`, `s`, `ms`, longest first, each at
/// most once.
///
/// # Errors
/// The rule that was broken, when the text is no duration or above [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, unit, after) = next_part(rest).ok_or(NOT_A_DURATION)?;
        // What remains of the iterator are the shorter units: this keeps the order.
        let (_, millis) = units
            .find(|(name, _)| *name == unit)
            .ok_or(NOT_A_DURATION)?;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(part))
            .unwrap_or(u64::MAX);
        rest = after;
    }
    let duration = Duration::from_millis(total);
    if duration > DURATION_MAX {
        return Err(format!("must be at most {}", format_duration(DURATION_MAX)));
    }
    Ok(duration)
}

/// Writes a duration so that [`parse_duration`] reads the same again, down to whole milliseconds.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, millis) in TIME_UNITS {
        let count = rest / millis;
        rest %= millis;
        if count > 0 {
            let _ = write!(text, "{count}{name}");
        }
    }
    text
}

/// Reads a size in bytes: a whole number, with a unit of powers of 1000 (`KB`, `MB`, `GB`, `TB`) or
/// of 1024 (`KiB`, `MiB`, `GiB`, `TiB`), with `B`, or with none.
///
/// # Errors
/// The rule that was broken, when the text is no size or above 2^63 − 1 bytes (TOML's largest
/// integer).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit, rest) = next_part(text).ok_or(NOT_A_SIZE)?;
    let factor = match unit {
        "" => 1,
        unit => {
            SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or(NOT_A_SIZE)?
                .1
        }
    };
    if !rest.is_empty() {
        return Err(NOT_A_SIZE.to_owned());
    }
    number
        .checked_mul(factor)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| "must be less than 8388608TiB".to_owned())
}

/// Writes a size so that [`parse_size`] reads the same again, with the largest unit that fits
/// without a rest.
pub fn format_size(bytes: u64) -> String {
    let unit = SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (name, factor) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / factor)
}

/// Splits `"1m30s"` into `1`, `"m"` and `"30s"`. A number too large for `u64` counts as the
/// largest one, which is above every limit.
fn next_part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = text[digits..]
        .bytes()
        .take_while(u8::is_ascii_alphabetic)
        .count();
    let (number, rest) = text.split_at(digits);
    let (unit, after) = rest.split_at(letters);
    // Something that is neither digit nor letter, such as a sign or a space.
    if number.is_empty() || (unit.is_empty() && !after.is_empty()) {
        return None;
    }
    Some((number.parse().unwrap_or(u64::MAX), unit, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_numbers_with_units_from_long_to_short() {
        for (text, millis) in [
            ("0s", 0),
            ("100ms", 100),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("90s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "", "30", "s", "30 s", "-1s", "1.5s", "30s1m", "1s1s", "1S", "5x", "1m 30s", "½s",
            "1µs",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(NOT_A_DURATION.to_owned()),
                "{text}"
            );
        }
        for text in ["366d", "99999999999999999999s", "18446744073709551615d1h"] {
            assert_eq!(
                parse_duration(text),
                Err("must be at most 365d".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_size_is_a_whole_number_with_at_most_one_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "", "KiB", "64 KiB", "64kib", "1.5MiB", "-1", "1GB1", "1GB2MB", "ä",
        ] {
            assert_eq!(parse_size(text), Err(NOT_A_SIZE.to_owned()), "{text}");
        }
        assert!(parse_size("8388608TiB").is_err());
    }

    #[test]
    fn a_size_is_written_with_the_largest_unit_that_fits() {
        for (bytes, text) in [
            (0, "0B"),
            (65_536, "64KiB"),
            (1_000_000_000, "1GB"),
            (1_025, "1025B"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }
}
