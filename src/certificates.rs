//! Certificates that are out of date.

use std::time::SystemTime;

use penstock_config::{Certificate, Config, ConfigError};

/// What is wrong now with certificates of a configuration that are not in force already. One that is
/// expires without anybody's doing, and must not keep other changes from being made.
pub(crate) fn outdated(config: &Config, in_force: Option<&Config>) -> Vec<ConfigError> {
    #[allow(clippy::disallowed_methods, reason = "certificates end by the clock")]
    let now = SystemTime::now();
    let is_known = |certificate: &Certificate| {
        in_force.is_some_and(|config| config.certificates().any(|known| known == certificate))
    };
    config
        .certificates()
        .filter(|certificate| !is_known(certificate))
        .filter_map(|certificate| certificate.outdated(now))
        .collect()
}
