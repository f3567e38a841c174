//! `penstock cert`, and what `penstock check` and `status` say of certificates.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::support::penstock::{NOBODY, Penstock};

fn penstock(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const MAKE: [&str; 4] = ["cert", "--self-signed", "localhost", "127.0.0.1"];

#[test]
fn a_certificate_for_trying_comes_with_the_lines_for_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let made = penstock(folder.path(), &MAKE);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let files = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    for file in &files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let config = text(&made.stdout).to_owned() + NOBODY;
    fs::write(folder.path().join("penstock.toml"), config).unwrap();
    let checked = penstock(folder.path(), &["check", "penstock.toml"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));

    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    let again = penstock(folder.path(), &MAKE);
    assert!(!again.status.success());
    let error = text(&again.stderr);
    assert!(
        error.contains("tls.crt exists; --force replaces it"),
        "{error}"
    );
    assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), before);
    let forced = [&MAKE[..], &["--force"]].concat();
    assert!(penstock(folder.path(), &forced).status.success());
    assert_ne!(files.each_ref().map(|file| fs::read(file).unwrap()), before);

    let bad = penstock(folder.path(), &["cert", "--self-signed", "https://a"]);
    assert!(text(&bad.stderr).contains("must be a host name"));
    let folder_is_missing = [
        "cert",
        "--self-signed",
        "a",
        "--cert",
        "no/a",
        "--key",
        "no/b",
    ];
    let bad = penstock(folder.path(), &folder_is_missing);
    assert!(text(&bad.stderr).contains("cannot write no/b: "));
}

/// Writes a certificate that is valid from the one date to the other, and its key.
fn valid(folder: &Path, begins: (i32, u8, u8), ends: (i32, u8, u8)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(begins.0, begins.1, begins.2);
    params.not_after = date_time_ymd(ends.0, ends.1, ends.2);
    let cert = params.self_signed(&key).unwrap();
    fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
    fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

fn config() -> String {
    format!(
        "listeners = [{{ address = \"127.0.0.1:0\", tls = {{ certificates = [{{ cert = \"tls.crt\", \
         key = \"tls.key\" }}] }} }}]\n{NOBODY}"
    )
}

#[tokio::test]
async fn an_expired_certificate_is_an_error_of_check_and_a_warning_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    valid(folder.path(), (2020, 1, 1), (2020, 3, 1));
    fs::write(folder.path().join("c.toml"), config()).unwrap();
    let checked = penstock(folder.path(), &["check", "c.toml"]);
    assert!(!checked.status.success());
    let error = text(&checked.stderr).to_owned();
    let place = "c.toml:1: listeners[0].tls.certificates[0].cert = \"tls.crt\": ";
    assert!(error.contains(place), "{error}");
    let rule = "has expired: it was valid until 2020-03-01T00:00:00Z";
    assert!(error.contains(rule), "{error}");

    // It runs all the same: listeners without TLS are not to wait.
    let running = Penstock::start_in(folder, &config()).await;
    let log = running.log();
    assert!(
        log.contains("ERROR") && log.contains("has expired"),
        "{log}"
    );
    let status = running.command(&["status"]).await;
    assert!(status.contains("tls.crt: has expired"), "{status}");
    let page = running.metrics().await;
    let ends = page.sum("penstock_tls_certificate_expiry_timestamp_seconds", &[]);
    assert_eq!(ends, 1_583_020_800.0);
    // A change of something else is no change of it.
    running
        .reload(&format!("region = \"other\"\n{}", config()))
        .await;
}
