//! A body whose model was found, or is being looked for: watched or changed as it passes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::{ClientBody, EndedEarly};
use crate::{
    base::reserve::Reserved,
    request::model::{Fault, Passing},
    settle::upload::UploadFailure,
};

/// How a body passes that names a model.
pub(super) struct NamedBody {
    passing: Option<Passing>,
    /// The memory that was lent for what is held of it.
    _held: Vec<Reserved>,
}

const ENDS_EARLY: Fault = Fault::Malformed("the request body ends too early");

impl NamedBody {
    pub(super) fn changes(&self) -> bool {
        self.passing.as_ref().is_some_and(Passing::changes)
    }

    /// What becomes of a piece; `None`: nothing.
    fn pass(&mut self, piece: Bytes, is_last: bool) -> Result<Option<Bytes>, Fault> {
        let Some(passing) = &mut self.passing else {
            return Ok(Some(piece));
        };
        let mut out = Vec::new();
        passing.feed(&piece, &mut out)?;
        if is_last && !passing.is_done() {
            return Err(ENDS_EARLY);
        }
        Ok(match passing.changes() {
            true => Some(out).filter(|out| !out.is_empty()).map(Bytes::from),
            false => Some(piece),
        })
    }
}

impl ClientBody {
    /// What has come of it and was not passed on yet.
    pub(crate) fn held(&self) -> &[u8] {
        self.early.as_ref().map_or(&[], |early| early.bytes())
    }

    /// From now on it passes in this way, from its beginning where that changes it; else what is held of it was
    /// looked at already. `held` is the memory for that.
    pub(crate) fn pass_by(
        &mut self,
        passing: Option<Passing>,
        held: Vec<Reserved>,
    ) -> Result<(), Fault> {
        let is_whole = self.is_whole();
        let mut named = NamedBody {
            passing,
            _held: held,
        };
        if named.changes() && is_whole | !self.held().is_empty() {
            let early = self.early.get_or_insert_default();
            let piece = named.pass(early.take(), is_whole)?;
            early.put(piece.unwrap_or_default());
        } else if is_whole && named.passing.is_some() {
            return Err(ENDS_EARLY);
        }
        self.named = Some(Box::new(named));
        Ok(())
    }

    /// Adds a member, as JSON, behind those of an object that has some, all of which is held.
    pub(crate) fn add_member(&mut self, member: &[u8]) {
        let early = self.early.get_or_insert_default();
        let body = early.take();
        let end = body.iter().rposition(|byte| *byte == b'}');
        let (before, after) = body.split_at_checked(end.unwrap_or(0)).unwrap_or_default();
        early.put([before, b",", member, after].concat().into());
    }

    /// The next piece of it, as it passes.
    pub(super) fn poll_named(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndedEarly>>> {
        loop {
            let frame = ready!(self.poll_client(cx));
            let Some(named) = &mut self.named else {
                return Poll::Ready(frame);
            };
            let is_last = self.incoming.is_end_stream();
            let passed = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => named.pass(data, is_last).map(|data| data.map(Frame::data)),
                    // Trailers: the body has ended.
                    Err(frame) => named.pass(Bytes::new(), true).map(|_| Some(frame)),
                },
                None => match named.pass(Bytes::new(), true) {
                    Ok(_) => return Poll::Ready(None),
                    Err(fault) => Err(fault),
                },
                error => return Poll::Ready(error),
            };
            match passed {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if is_last => return Poll::Ready(None),
                Ok(None) => {}
                Err(Fault::Twice) => return self.fail(UploadFailure::TwoModels),
                Err(_) => return self.fail(UploadFailure::NoModel),
            }
        }
    }
}
