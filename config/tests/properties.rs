//! What holds for every text and every value.

#![allow(
    clippy::unwrap_used,
    reason = "this is a test, its functions beside the tests too"
)]

use std::{path::Path, sync::LazyLock, time::Duration};

use penstock_config::{ConfigErrors, parse, units};
use proptest::prelude::*;

static FULL: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/full.toml");
    std::fs::read_to_string(path).unwrap()
});

/// Values of every type, right and wrong in many places.
const VALUES: [&str; 24] = [
    "0",
    "1",
    "-1",
    "7.5",
    "nan",
    "inf",
    "true",
    "false",
    "\"\"",
    "\"x\"",
    "\"30s\"",
    "\"0s\"",
    "\"64KiB\"",
    "\"127.0.0.1:8080\"",
    "\"/\"",
    "[]",
    "[1]",
    "[\"x\"]",
    "[{}]",
    "{}",
    "{ x = 1 }",
    "1979-05-27",
    "9223372036854775807",
    "0xffffffffffffffffff",
];

/// Every error has its rule and, but for syntax errors, its key; and schema and types never
/// disagree, which would show as an error of no key.
fn check(errors: &ConfigErrors) {
    assert!(errors.iter().count() > 0);
    for error in errors {
        assert!(!error.rule.is_empty());
        let syntax = error.rule.starts_with("not valid TOML");
        assert!(syntax || !error.key.is_empty(), "{error}");
        assert!(error.line.is_some(), "{error}");
    }
}

fn parse_any(text: &str) {
    // The folder does not exist: whatever `include` says, no file is read.
    if let Err(errors) = parse(text, Path::new("/nonexistent/penstock.toml")) {
        check(&errors);
    }
}

proptest! {
    #[test]
    fn any_text_is_accepted_or_refused_with_reasons(text in "\\PC*") {
        parse_any(&text);
    }

    #[test]
    fn any_lines_of_a_file_are_accepted_or_refused_with_reasons(
        keep in prop::collection::vec(prop::bool::weighted(0.9), 600),
    ) {
        let lines = FULL.lines().zip(keep).filter(|(_, keep)| *keep).map(|(line, _)| line);
        parse_any(&lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn any_value_of_any_keys_is_accepted_or_refused_with_reasons(
        changes in prop::collection::vec((0_usize..600, prop::sample::select(&VALUES[..])), 1..8),
    ) {
        let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
        for (at, value) in changes {
            let count = lines.len();
            let line = &mut lines[at % count];
            if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ") {
                *line = format!("{key} = {value}");
            }
        }
        parse_any(&lines.join("\n"));
    }

    #[test]
    fn a_duration_reads_as_it_was_written(millis in 0..=units::DURATION_MAX.as_millis()) {
        let duration = Duration::from_millis(u64::try_from(millis).unwrap());
        prop_assert_eq!(units::parse_duration(&units::format_duration(duration)), Ok(duration));
    }

    #[test]
    fn a_size_reads_as_it_was_written(bytes in 0..=i64::MAX.cast_unsigned(), unit in 0_u32..50) {
        for bytes in [bytes, bytes >> unit << unit, 1 << unit] {
            prop_assert_eq!(units::parse_size(&units::format_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn no_text_makes_units_panic(text in "\\PC*") {
        let _ = units::parse_duration(&text);
        let _ = units::parse_size(&text);
    }
}
