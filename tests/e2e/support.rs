//! What the tests stand on.

pub(crate) mod background;
pub(crate) mod client;
pub(crate) mod fake;
pub(crate) mod few_streams;
pub(crate) mod grpc;
pub(crate) mod h2_client;
pub(crate) mod h2_frames;
pub(crate) mod h2_worker;
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
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How long a test waits for something that must happen. Long, because the machine that runs the
/// tests may be busy; a test that passes never waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a client waits for its answer: longer than all that the test does with the worker until
/// that answers, so that what is waited for in vain there is what the test complains of.
const PATIENCE_OF_CLIENTS: Duration = Duration::from_secs(300);

/// The output of `future`, which must come in time.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    within(PATIENCE, what, future).await
}

/// An answer, which must come at some time.
async fn answered<F: Future>(what: &str, future: F) -> F::Output {
    within(PATIENCE_OF_CLIENTS, what, future).await
}

async fn within<F: Future>(patience: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(patience, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {patience:?} in vain: {what}"),
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

/// A process that is killed when it is dropped, with the lines of its standard output. Its standard error
/// is there to read too.
fn spawn_piped(command: &mut Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
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
