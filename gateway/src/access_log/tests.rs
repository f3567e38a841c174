use std::fs;

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
    }
}

#[test]
fn no_log_is_opened_when_it_is_off() {
    assert!(AccessLog::open(&Settings::Off).unwrap().is_none());
}

#[test]
fn every_line_is_written_before_the_log_is_gone_and_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    for round in 1..=2 {
        let settings = Settings::File(path.clone(), LogFormat::Json);
        let log = AccessLog::open(&settings).unwrap().unwrap();
        (0..1000).for_each(|_| log.record(&record()));
        drop(log);
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
    let settings = Settings::File(path.clone(), LogFormat::Text);
    let log = AccessLog::open(&settings).unwrap().unwrap();
    fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    log.reopen();
    log.record(&record());
    drop(log);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::File(folder.path().join("missing/access.log"), LogFormat::Text);
    assert!(AccessLog::open(&settings).is_err());
}
