//! A table of bad files: every `rejects/NAME.toml` is refused with exactly the messages of
//! `rejects/NAME.txt`. After a deliberate change of messages, `BLESS=1` writes them anew.

#![allow(
    clippy::unwrap_used,
    reason = "this is a test, its functions beside the tests too"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use penstock_config::load;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rejects")
}

/// Names, without extension, of the files with this extension.
fn names(extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let wanted = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    wanted
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// The messages for a file, with names of files that begin in the folder.
fn messages(name: &str) -> String {
    match load(&folder().join(format!("{name}.toml"))) {
        Ok(_) => "accepted\n".to_owned(),
        Err(errors) => format!("{errors}\n").replace(&format!("{}/", folder().display()), ""),
    }
}

#[test]
fn every_bad_file_is_refused_with_exactly_its_messages() {
    let mut wrong = String::new();
    for name in names("toml") {
        let expected = folder().join(format!("{name}.txt"));
        let messages = messages(&name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &messages).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if messages != expected || messages == "accepted\n" {
            wrong += &format!("--- {name}, expected:\n{expected}--- got:\n{messages}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_bad_file_has_its_messages_and_every_message_its_file() {
    assert_eq!(names("toml"), names("txt"));
    assert!(names("toml").len() >= 40);
}
