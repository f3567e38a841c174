//! What is most likely a mistake in a configuration that is in force.

use penstock_config::ConfigError;

/// The warnings that the log has already.
#[derive(Default)]
pub(super) struct Warnings {
    told: Vec<ConfigError>,
}

impl Warnings {
    /// Tells the warnings about the configuration as it was just read: `all` of them, or those that were
    /// not told yet, because the file is read again whenever something changes near it.
    pub(super) fn tell(&mut self, found: Vec<ConfigError>, all: bool) {
        for warning in &found {
            if all || !self.told.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        self.told = found;
    }
}
