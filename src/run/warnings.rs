//! Warnings about the configuration, each logged once.

use penstock_config::ConfigError;

/// The warnings that were logged already.
#[derive(Default)]
pub(super) struct Warnings {
    told: Vec<ConfigError>,
}

impl Warnings {
    /// Logs the warnings about the configuration that was just read: `all` of them, or only the new ones,
    /// because the file is read again whenever something changes near it.
    pub(super) fn tell(&mut self, found: Vec<ConfigError>, all: bool) {
        for warning in &found {
            if all || !self.told.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        self.told = found;
    }
}
