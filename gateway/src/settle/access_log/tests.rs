use std::{fs, path::Path};

use super::*;

pub(super) fn record() -> AccessRecord<'static> {
    AccessRecord {
        request_id: "id-1",
        client: "192.0.2.1:4711".parse().unwrap(),
        method: "POST",
        host: "chat.local.localhost:8080",
        path: "/v1/x?a=b",
        protocol: "HTTP/1.1",
        service: Some("chat"),
        deployment: Some("stable"),
        api_key: Some("mobile-app"),
        class: Some("batch"),
        worker: Some(2),
        status: 200,
        reason: None,
        detail: None,
        bytes_in: 12,
        bytes_out: 345,
        queue_wait: None,
        connect: Some(Duration::from_micros(250)),
        first_byte: Some(Duration::from_micros(1500)),
        duration: Duration::from_secs(2),
        retries: 1,
        model: None,
    }
}

#[test]
fn no_log_is_opened_when_it_is_off() {
    let off = Settings {
        to: AccessLogTo::Nowhere,
        format: LogFormat::Text,
        query: false,
    };
    assert!(AccessLog::open(&off).unwrap().is_none());
}

#[test]
fn every_line_is_written_before_the_log_is_gone_and_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for round in 1..=2 {
        let log = open(&path, LogFormat::Json, false);
        (0..1000).for_each(|_| log.record(&record()));
        log.finish();
        let lines = fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), round * 1000);
        assert!(
            lines
                .lines()
                .all(|line| line.starts_with('{') && line.ends_with('}'))
        );
    }
}

#[test]
fn lines_go_to_a_new_file_after_the_old_one_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = open(&path, LogFormat::Text, false);
    fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    log.reopen();
    log.record(&record());
    log.finish();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = to_file(
        &folder.path().join("missing/access.log"),
        LogFormat::Text,
        false,
    );
    let error = AccessLog::open(&settings).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
}

#[test]
fn a_query_is_shown_only_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for (shows, shown) in [(false, " /v1/x? "), (true, " /v1/x?a=b ")] {
        let log = open(&path, LogFormat::Text, shows);
        log.record(&record());
        log.finish();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().last().unwrap().contains(shown), "{text}");
    }
    assert_eq!(without_query("/v1/x"), "/v1/x");
    assert_eq!(without_query("*"), "*");
}

fn to_file(path: &Path, format: LogFormat, query: bool) -> Settings {
    Settings {
        to: AccessLogTo::File(path.to_owned()),
        format,
        query,
    }
}

fn open(path: &Path, format: LogFormat, query: bool) -> AccessLog {
    let settings = to_file(path, format, query);
    AccessLog::open(&settings).unwrap().unwrap()
}
