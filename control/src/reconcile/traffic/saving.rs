//! Success is said when it is true: an answer to a change waits until the change is in the state file.

use tokio::sync::oneshot;

use crate::{
    ControlError,
    store::{Store, StoreError, Written},
};

/// What became of an attempt to remember something.
pub(in crate::reconcile) enum Saving {
    /// It is what is remembered already.
    Nothing,
    /// It will be written soon.
    Queued(Written),
    /// The disk does not keep up; it is tried again with the next tick.
    Busy,
    /// It could not be written, nor could it the last time.
    Failed(StoreError),
}

impl Saving {
    pub(in crate::reconcile) fn of(queued: Option<Written>) -> Self {
        queued.map_or(Self::Busy, Self::Queued)
    }

    /// For whoever asked for a change: where nothing is to be written because it was tried before, that
    /// may have failed.
    pub(in crate::reconcile) fn for_change(self, asks_for_change: bool, store: &Store) -> Self {
        match self {
            Self::Nothing if asks_for_change => store.failure().map_or(Self::Nothing, |failure| {
                Self::Failed(StoreError::NotWritten(failure.reason))
            }),
            other => other,
        }
    }

    async fn done(self) -> Result<(), StoreError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Busy => Err(StoreError::NotWritten("the disk does not keep up".into())),
            Self::Failed(error) => Err(error),
            Self::Queued(written) => match written.await {
                Ok(written) => written.map_err(StoreError::NotWritten),
                Err(_) => Err(StoreError::Closed),
            },
        }
    }
}

/// Answers as soon as what was done is in the state file, or cannot be.
pub(in crate::reconcile) fn reply_when_written<T: Send + 'static>(
    saving: Saving,
    reply: oneshot::Sender<Result<T, ControlError>>,
    answer: T,
) {
    tokio::spawn(async move {
        let answer = saving.done().await.map(|()| answer);
        // Whoever does not wait any more needs no answer.
        let _ = reply.send(answer.map_err(ControlError::Store));
    });
}
