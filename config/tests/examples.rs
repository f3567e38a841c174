//! The examples load, and `full.toml` keeps its promise: every key, with its default.
//!
//! In `full.toml` a line `key = value` is a default or is required, a line `#key = value` is a
//! setting without a default, and a line `# text` explains.

#![allow(
    clippy::unwrap_used,
    reason = "this is a test, its functions beside the tests too"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use penstock_config::{Config, ConfigErrors, load, parse, schema};
use serde_json::Value as Schema;
use toml::{Table, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn full() -> Vec<String> {
    let text = fs::read_to_string(folder().join("full.toml")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn parse_lines(lines: &[String]) -> Result<Config, ConfigErrors> {
    // The files that it names are the user's.
    let folder_of_files = files().path().display();
    let mut text = lines.join("\n");
    for name in ["tls.crt", "tls.key", "ca.pem"] {
        text = text.replace(
            &format!("\"{name}\""),
            &format!("\"{folder_of_files}/{name}\""),
        );
    }
    // Settings of TLS are for workers that are reached by it.
    if text.contains("\ntls = { ca = ") {
        text = text.replace("\"10.0.0.", "\"https://10.0.0.");
    }
    parse(&text, &folder().join("full.toml"))
}

/// A certificate, which is its own authority, and its key.
fn files() -> &'static tempfile::TempDir {
    static FILES: OnceLock<tempfile::TempDir> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for name in ["tls.crt", "ca.pem"] {
            fs::write(folder.path().join(name), made.cert.pem()).unwrap();
        }
        fs::write(
            folder.path().join("tls.key"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        folder
    })
}

/// The key that a line sets.
fn key(line: &str) -> Option<&str> {
    let key = line.split_once(" = ")?.0;
    let bare = key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    (bare && !key.is_empty()).then_some(key)
}

/// The file with the setting in the `at`-th line taken in, in place of the default beside it.
fn with_setting(lines: &[String], at: usize) -> Option<Vec<String>> {
    let setting = lines[at].strip_prefix('#')?;
    let key = key(setting)?;
    let header = |line: &String| line.starts_with('[');
    let start = lines[..at].iter().rposition(header).unwrap_or(0);
    let end = lines[at..]
        .iter()
        .position(header)
        .map_or(lines.len(), |length| at + length);
    let mut changed = lines.to_vec();
    for line in &mut changed[start..end] {
        if self::key(line) == Some(key) {
            line.clear();
        }
    }
    changed[at] = setting.to_owned();
    Some(changed)
}

#[test]
fn every_example_loads() {
    let mut examples = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            examples += 1;
            if let Err(errors) = load(&path) {
                panic!("{errors}");
            }
        }
    }
    assert!(examples >= 3, "minimal, full and quickstart");
}

#[test]
fn every_setting_of_full_without_a_default_can_be_taken_in() {
    let lines = full();
    let mut settings = 0;
    for changed in (0..lines.len()).filter_map(|at| with_setting(&lines, at)) {
        settings += 1;
        if let Err(errors) = parse_lines(&changed) {
            panic!("{errors}");
        }
    }
    assert!(settings > 0);
}

#[test]
fn every_key_of_the_schema_is_in_full() {
    let lines = full();
    let variants = (0..lines.len()).filter_map(|at| with_setting(&lines, at));
    let files: Vec<Value> = std::iter::once(lines.clone())
        .chain(variants)
        .map(|lines| Value::Table(lines.join("\n").parse::<Table>().unwrap()))
        .collect();
    let root = schema();
    let mut keys = BTreeMap::new();
    find_keys(
        &root,
        &root,
        &files.iter().collect::<Vec<_>>(),
        "",
        &mut keys,
    );
    let missing: Vec<_> = keys
        .iter()
        .filter(|(_, found)| !**found)
        .map(|(key, _)| key)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Collects the keys of a schema, and whether one of the values has them. The keys of a definition
/// that is used in several places, such as `Probe`, count once.
fn find_keys(
    root: &Schema,
    schema: &Schema,
    values: &[&Value],
    table: &str,
    keys: &mut BTreeMap<String, bool>,
) {
    if let Some(path) = schema["$ref"].as_str() {
        let name = path.strip_prefix("#/$defs/").unwrap();
        return find_keys(root, &root["$defs"][name], values, name, keys);
    }
    for options in ["anyOf", "oneOf"] {
        for option in schema[options].as_array().into_iter().flatten() {
            find_keys(root, option, values, table, keys);
        }
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{table}.{key}");
        let values: Vec<_> = values.iter().filter_map(|value| value.get(key)).collect();
        *keys.entry(path.clone()).or_default() |= !values.is_empty();
        find_keys(root, schema, &values, &path, keys);
    }
    if schema["additionalProperties"].is_object() {
        let tables = values.iter().filter_map(|value| value.as_table());
        let values: Vec<_> = tables.flat_map(|table| table.values()).collect();
        find_keys(root, &schema["additionalProperties"], &values, table, keys);
    }
    if schema["items"].is_object() {
        let arrays = values.iter().filter_map(|value| value.as_array());
        let values: Vec<_> = arrays.flatten().collect();
        find_keys(root, &schema["items"], &values, table, keys);
    }
}

/// The keys of the full example that must be given where their tables are, in its order.
const REQUIRED: &str = "
    address sha256 role devices cookie to headers to requests concurrent command tcp http exec type shell grpc
    type metric target type metric threshold adjustment steps type cron duration min type
    target type target type image tier addresses balance header name sha256 classes class_header addresses
    split hash addresses addresses addresses
";

#[test]
fn whatever_full_sets_is_the_default_or_required() {
    let lines = full();
    let whole = parse_lines(&lines).unwrap();
    let mut required = Vec::new();
    let mut rest = lines.clone();
    for at in 0..lines.len() {
        let Some(key) = key(&lines[at]) else { continue };
        let mut without = lines.clone();
        without[at].clear();
        match parse_lines(&without) {
            Ok(config) => {
                assert_eq!(config, whole, "line {}: {}", at + 1, lines[at]);
                rest[at].clear();
            }
            Err(_) => required.push(key),
        }
    }
    let expected: Vec<&str> = REQUIRED.split_whitespace().collect();
    assert_eq!(required, expected);
    assert_eq!(
        parse_lines(&rest).unwrap(),
        whole,
        "all defaults left out at once"
    );
}
