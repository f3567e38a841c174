//! An answer that outlasts its first turn, such as a stream of events: all that is still needed of its request,
//! in as little memory as that takes.

use std::task::{Context, Poll, ready};

use super::{
    After, Side,
    client::Client,
    down::{Down, Ended},
    up::Up,
};
use crate::settle::exchange::Exchange;

/// What passes an answer on.
pub(super) struct Long {
    pub(super) side: Box<Side>,
    pub(super) exchange: Exchange,
    pub(super) up: Up,
    pub(super) down: Down,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
}

impl Long {
    /// Passes on what can be passed on. Ready at the end: what becomes of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<After> {
        let Side { client, timer } = &mut *self.side;
        let ended = self
            .down
            .poll(cx, client, &mut self.up, &mut self.exchange, timer);
        Poll::Ready(after(ready!(ended), self.closes, &mut self.up, client))
    }
}

/// What becomes of the connection after an answer.
pub(super) fn after(ended: Ended, closes: bool, up: &mut Up, client: &mut Client) -> After {
    client.last_upload = up.upload.take();
    match ended {
        Ended::Whole if closes => After::Close {
            unread: !up.skip(&mut client.ahead),
        },
        Ended::Whole => After::Next,
        Ended::CutOff => After::CutOff,
        Ended::ClientGone => After::Gone,
    }
}
