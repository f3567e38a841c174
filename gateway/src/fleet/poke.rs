//! Telling control what happens here: every second, and at once when somebody pokes.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

/// How often a report is sent when nothing urgent happens.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Shortest time between two urgent reports: a storm of first requests needs one, not thousands.
pub(crate) const POKE_EVERY: Duration = Duration::from_millis(5);

/// Makes the reporter report at once.
#[derive(Clone, Default)]
pub(crate) struct Poke(Arc<Notify>);

impl Poke {
    /// Something happened that control waits for.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }

    /// Returns when somebody poked since the last return.
    pub(crate) async fn poked(&self) {
        self.0.notified().await;
    }
}
