//! Certificates of the listeners, and which of them are to be renewed.

use std::time::{Duration, SystemTime};

use penstock_config::{Certificate, Config};
use serde::{Deserialize, Serialize};

/// From then on a certificate is worth a warning: those that renew by themselves do it long before.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// One certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The file that it was read from.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Until when it is valid: milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Why somebody should do something about it.
    #[serde(default)]
    pub warning: Option<String>,
}

/// Every certificate once, however many listeners have it.
pub(crate) fn certificates(config: &Config) -> Vec<CertificateStatus> {
    let mut seen = Vec::new();
    config.certificates().for_each(|certificate| {
        let described = describe(certificate);
        if !seen.contains(&described) {
            seen.push(described);
        }
    });
    seen
}

fn describe(certificate: &Certificate) -> CertificateStatus {
    let ends = certificate.ends().duration_since(SystemTime::UNIX_EPOCH);
    CertificateStatus {
        file: certificate.file().display().to_string(),
        names: certificate.names().to_vec(),
        expires_at_ms: u64::try_from(ends.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
        warning: None,
    }
}

impl CertificateStatus {
    /// The same with the warning that it deserves at this time.
    pub(super) fn at(&self, wall_ms: u64) -> Self {
        let left = self.expires_at_ms.checked_sub(wall_ms);
        let warning = match left {
            None => Some("has expired: clients refuse it".to_owned()),
            Some(left) if Duration::from_millis(left) < RENEW_WITHIN => Some(match left / DAY_MS {
                0 => "expires within a day".to_owned(),
                1 => "expires in 1 day".to_owned(),
                days => format!("expires in {days} days"),
            }),
            Some(_) => None,
        };
        Self {
            warning,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_weeks_before_its_end_a_certificate_is_worth_a_warning() {
        let certificate = CertificateStatus {
            file: "tls.crt".to_owned(),
            names: vec!["localhost".to_owned()],
            expires_at_ms: 100 * DAY_MS,
            warning: None,
        };
        let warning = |day: u64| certificate.at(day * DAY_MS).warning.unwrap_or_default();
        assert_eq!(warning(0), "");
        assert_eq!(warning(86), "");
        assert_eq!(warning(87), "expires in 13 days");
        assert_eq!(warning(99), "expires in 1 day");
        assert_eq!(warning(101), "has expired: clients refuse it");
        assert_eq!(
            certificate.at(100 * DAY_MS - 1).warning.unwrap(),
            "expires within a day"
        );
    }
}
