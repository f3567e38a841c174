//! Noticing that the loop of control has ended although nobody asked it to.

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::AbortHandle;

/// What became of the loop.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<State>);

#[derive(Debug, Default)]
struct State {
    reason: OnceLock<String>,
    may_end: AtomicBool,
}

impl Failure {
    /// Runs the loop. When it ends by itself that is logged, and known from then on.
    pub(super) fn watch(&self, run: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let task = tokio::spawn(run);
        let handle = task.abort_handle();
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            let why = match task.await {
                Ok(()) if state.may_end.load(Ordering::Relaxed) => return,
                Ok(()) => "its loop came to an end".to_owned(),
                // Whoever held it let it go.
                Err(error) if error.is_cancelled() => return,
                Err(error) => error.try_into_panic().map_or_else(
                    |error| error.to_string(),
                    |panic| format!("a panic: {}", words(&*panic)),
                ),
            };
            let reason = format!(
                "control has ended ({why}): requests are still served by the workers known last, \
                 but nothing is started, stopped or probed any more; restart penstock"
            );
            tracing::error!("{reason}");
            // It ends only once.
            let _ = state.reason.set(reason);
        });
        handle
    }

    /// From now on the end is what is wanted.
    pub(super) fn is_no_failure_any_more(&self) {
        self.0.may_end.store(true, Ordering::Relaxed);
    }

    /// Why it ended, if it did so by itself.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.reason.get().cloned()
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    /// What is known some time after the loop has ended.
    async fn known(failure: &Failure, run: impl Future<Output = ()> + Send + 'static) -> String {
        let task = failure.watch(run);
        while !task.is_finished() {
            yield_now().await;
        }
        for _ in 0..3 {
            yield_now().await;
        }
        failure.reason().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_panic_and_an_end_that_nobody_wanted_are_told() {
        let panics = async { panic!("index {} is wrong", 3) };
        let reason = known(&Failure::default(), panics).await;
        assert!(reason.contains("a panic: index 3 is wrong"), "{reason}");
        let reason = known(&Failure::default(), async {}).await;
        assert!(reason.contains("came to an end"), "{reason}");
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_none() {
        let failure = Failure::default();
        failure.is_no_failure_any_more();
        assert_eq!(known(&failure, async {}).await, "");
    }

    #[tokio::test]
    async fn a_loop_that_is_let_go_has_not_failed() {
        let failure = Failure::default();
        let task = failure.watch(std::future::pending());
        task.abort();
        while !task.is_finished() {
            yield_now().await;
        }
        yield_now().await;
        assert_eq!(failure.reason(), None);
    }
}
