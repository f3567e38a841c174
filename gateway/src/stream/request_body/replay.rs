//! A request body that can be sent again: what the client has sent so far is kept, up to a bound.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use super::{ClientBody, EndedEarly, UpstreamBody, longer};

/// The kept side of a body. As long as it exists the body can be sent again, unless it is too long.
pub(crate) struct Replay(Arc<Mutex<Source>>);

/// One sending of such a body, as the upstream connection reads it.
pub(crate) struct Replayed {
    source: Arc<Mutex<Source>>,
    /// Which sending this is. An earlier one may still be read for a moment by a connection that is
    /// just breaking, and must not take what the later one needs.
    number: u32,
    /// What earlier sendings read, still to be sent by this one.
    again: Bytes,
}

struct Source {
    body: Box<ClientBody>,
    /// A copy of its own: pieces as they come may each hold a whole read buffer.
    kept: Vec<u8>,
    max: usize,
    /// Whether something came that was not kept.
    lost: bool,
    number: u32,
}

impl Replay {
    /// Makes `body` one that can be sent again as long as no more than `max` bytes of it have come.
    /// `None` when it has nothing to keep, or is known to be longer.
    pub(crate) fn keep(body: UpstreamBody, max: u64) -> (UpstreamBody, Option<Self>) {
        let body = match body {
            UpstreamBody::Streamed(body) if body.size_hint().lower() <= max => body,
            other => return (other, None),
        };
        let source = Arc::new(Mutex::new(Source {
            body,
            kept: Vec::new(),
            max: usize::try_from(max).unwrap_or(usize::MAX),
            lost: false,
            number: 0,
        }));
        let first = Replayed {
            source: Arc::clone(&source),
            number: 0,
            again: Bytes::new(),
        };
        (UpstreamBody::Replayed(first), Some(Self(source)))
    }

    /// Whether it can still be sent again.
    pub(crate) fn is_whole(&self) -> bool {
        !self.0.lock().lost
    }

    /// The body from its beginning; whatever was sent before ends.
    pub(crate) fn again(&self) -> UpstreamBody {
        let mut source = self.0.lock();
        source.number += 1;
        UpstreamBody::Replayed(Replayed {
            source: Arc::clone(&self.0),
            number: source.number,
            again: Bytes::copy_from_slice(&source.kept),
        })
    }
}

impl Drop for Replay {
    /// There is an answer now: the rest of the body needs no copy.
    fn drop(&mut self) {
        self.0.lock().forget();
    }
}

impl Source {
    fn forget(&mut self) {
        self.lost = true;
        self.kept = Vec::new();
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.lost {
            return;
        }
        match frame.data_ref() {
            Some(data) if data.len() <= self.max - self.kept.len() => {
                self.kept.extend_from_slice(data);
            }
            // Trailers of a request are too rare to be worth a copy.
            _ => self.forget(),
        }
    }
}

impl Replayed {
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        let mut source = self.source.lock();
        if source.number != self.number {
            return Poll::Ready(Some(Err(EndedEarly)));
        }
        if !self.again.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.again)))));
        }
        if source.body.upload.ended() {
            return Poll::Ready(None);
        }
        let polled = source.body.poll(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            source.keep(frame);
        }
        polled
    }

    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut source = self.source.lock();
        if source.number != self.number {
            return Poll::Ready(());
        }
        match source.body.upload.ended() {
            true => Poll::Pending,
            false => source.body.poll_ahead(cx),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.source.lock().body.is_end()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        longer(
            &self.source.lock().body.size_hint(),
            self.again.len() as u64,
        )
    }
}
