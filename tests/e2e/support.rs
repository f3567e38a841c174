//! What the tests stand on.

pub(crate) mod background;
pub(crate) mod client;
pub(crate) mod fake;
pub(crate) mod grpc;
pub(crate) mod launches;
pub(crate) mod metrics;
pub(crate) mod penstock;
pub(crate) mod processes;
pub(crate) mod relay;
pub(crate) mod scripted;
pub(crate) mod simulated;
pub(crate) mod unreachable;

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long a test waits for something that must happen. Long, because the machine that runs the
/// tests may be busy; a test that passes never waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The output of `future`, which must come in time.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Looks until there is something to see. The one place where tests poll: for files, pages and
/// processes, which do not tell when they change.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A task that ends with its owner.
pub(crate) struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
