//! `penstock cert`: a certificate for trying HTTPS.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Browsers take no certificate that is valid for much longer.
const VALID_DAYS: i32 = 365;

/// Only whoever runs Penstock may read them.
const MODE: u32 = 0o600;

/// Make a certificate for trying HTTPS, and print the lines for the configuration file.
///
/// It is signed by its own key (ECDSA P-256), so that clients trust it only when they are given it:
/// `curl --cacert tls.crt`, `SSL_CERT_FILE=tls.crt` for Python. It is valid for a year.
#[derive(Args)]
pub(crate) struct CertArgs {
    /// Have it signed by its own key. There is no other way yet.
    #[arg(long, required = true)]
    self_signed: bool,
    /// Host names and IP addresses that it is for; wildcards as '*.example.org'.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Where to write the certificate.
    #[arg(long, value_name = "FILE", default_value = "tls.crt")]
    cert: PathBuf,
    /// Where to write its key.
    #[arg(long, value_name = "FILE", default_value = "tls.key")]
    key: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

/// Writes both files, and prints what to do with them.
pub(crate) fn run(args: &CertArgs) -> anyhow::Result<()> {
    ensure!(
        args.cert != args.key,
        "certificate and key must not go to the same file"
    );
    let (params, ends) = params(&args.names, Timestamp::now())?;
    for file in [&args.cert, &args.key] {
        if !args.force && file.symlink_metadata().is_ok() {
            bail!("{} exists; --force replaces it", file.display());
        }
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let cert = params.self_signed(&key).context("cannot make it")?;
    // The key first: who watches the files never sees a new certificate with an old key.
    write(&args.key, &key.serialize_pem(), args.force)?;
    write(&args.cert, &cert.pem(), args.force)?;
    eprintln!(
        "wrote {} and {}, for {}, valid until {ends}",
        args.cert.display(),
        args.key.display(),
        args.names.join(", ")
    );
    let [cert, key] = [&args.cert, &args.key].map(std::path::absolute);
    let lines = format!(
        "[[listeners]]\naddress = \"127.0.0.1:8443\"\n\
         tls = {{ certificates = [{{ cert = {:?}, key = {:?} }}] }}\n",
        cert?, key?
    );
    Ok(io::stdout().write_all(lines.as_bytes())?)
}

/// What it says, and its last day.
fn params(names: &[String], now: Timestamp) -> anyhow::Result<(CertificateParams, Date)> {
    let mut params = CertificateParams::default();
    for name in names {
        ensure!(
            is_name(name),
            "{name:?} must be a host name or an IP address, without scheme and port"
        );
    }
    params.subject_alt_names = CertificateParams::new(names.to_vec())
        .context("not a name for a certificate")?
        .subject_alt_names;
    params.distinguished_name = DistinguishedName::new();
    let issuer = "Penstock self-signed";
    params.distinguished_name.push(DnType::CommonName, issuer);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = now.to_zoned(TimeZone::UTC).date();
    // A day before, for clients whose clocks are behind.
    let begins = today.checked_sub(1.day())?;
    let ends = today.checked_add(VALID_DAYS.days())?;
    let at = |date: Date| {
        let part = |part: i8| u8::try_from(part).unwrap_or(1);
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = at(begins);
    params.not_after = at(ends);
    Ok((params, ends))
}

/// `example.org`, `*.example.org`, `192.0.2.1` or `2001:db8::1`.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<std::net::IpAddr>().is_ok() || host.len() <= 253 && host.split('.').all(label)
}

/// Writes a file that only its owner may read. One that is replaced never is half of it.
fn write(file: &Path, text: &str, replace: bool) -> anyhow::Result<()> {
    let write = |to: &Path| {
        let mut options = fs::OpenOptions::new();
        let mut new = options.write(true).create_new(true).mode(MODE).open(to)?;
        new.write_all(text.as_bytes())
    };
    let written = if replace {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = file.with_file_name(name);
        // Of somebody who was interrupted here.
        let _ = fs::remove_file(&new);
        write(&new).and_then(|()| fs::rename(&new, file))
    } else {
        write(file)
    };
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_and_addresses() {
        for name in ["localhost", "a.b-c.example.org", "*.a", "127.0.0.1", "::1"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "https://a",
            "a:80",
            "a..b",
            "-a",
            "*",
            "a.*",
            "ü",
            "a b",
            "*.*.a",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_year_later_it_is_over() {
        let now = "2027-03-01T12:00:00Z".parse().unwrap();
        let (params, ends) = params(&["localhost".to_owned()], now).unwrap();
        assert_eq!(ends.to_string(), "2028-02-29");
        assert_eq!(params.not_after, date_time_ymd(2028, 2, 29));
        assert_eq!(params.not_before, date_time_ymd(2027, 2, 28));
    }
}
