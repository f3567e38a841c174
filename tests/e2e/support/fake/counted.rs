//! Counts a request until the end of its answer, however it ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use super::State;
use crate::support::client::{Body, BoxError};

/// A request that is here. Dropped without [`Counted::finish`] it counts as aborted.
pub(super) struct Counted {
    state: Arc<State>,
    finished: bool,
}

impl Counted {
    pub(super) fn begin(state: &Arc<State>) -> Self {
        state.seen.send_modify(|seen| {
            seen.started += 1;
            seen.current += 1;
            seen.peak = seen.peak.max(seen.current);
        });
        Self {
            state: Arc::clone(state),
            finished: false,
        }
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
    }

    /// A body that finishes the request when it was sent to its end.
    pub(super) fn until_sent(self, body: Body) -> Body {
        CountedBody {
            body,
            counted: Some(self),
        }
        .after_frame()
        .boxed()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state.seen.send_modify(|seen| {
            seen.current -= 1;
            if self.finished {
                seen.finished += 1;
            } else {
                seen.aborted += 1;
            }
        });
    }
}

struct CountedBody {
    body: Body,
    counted: Option<Counted>,
}

impl CountedBody {
    /// HTTP code does not ask further when a body says that it is at its end.
    fn after_frame(mut self) -> Self {
        self.finish_at_end();
        self
    }

    fn finish_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.body)
            && let Some(counted) = self.counted.take()
        {
            counted.finish();
        }
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => {
                if let Some(counted) = self.counted.take() {
                    counted.finish();
                }
            }
            Some(Ok(_)) => self.finish_at_end(),
            Some(Err(_)) => drop(self.counted.take()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
