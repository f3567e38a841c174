//! HTTP/2 on both sides of the gateway, by the `h2` crate: streams, and what passes on them.
//!
//! No policy is here. A proxy has to know what a client or a server of its own need not: that the one side
//! left while the other one takes nothing, how much of an answer was really taken, and what is held
//! meanwhile. So a body is sent by a [`Pump`](pump::Pump), which listens to its peer and to the body's other
//! end whatever it waits for, in [`Piece`](piece::Piece)s that tell when they have left; and it is received
//! as [`Content`], whose drop before its end takes the whole stream back.

mod client;
mod content;
mod date;
mod incoming;
mod interim;
mod piece;
mod pump;
mod server;
mod taking_back;
mod tunnel;
mod window;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Body;

pub(crate) use self::{
    client::{Sender, Terms, Unanswered, open},
    content::Content,
    incoming::{Broken, Incoming},
    interim::Interim,
    piece::Taken,
    server::{Limits, Serving},
    tunnel::Tunnel,
};

/// A body that is on its way to somebody who speaks HTTP/2.
pub(crate) trait Passing: Body<Data = Bytes, Error: std::error::Error> + Unpin {
    /// Looks after what comes while nothing can be sent. Ready when the rest of it will not come, which is
    /// no reason to send what came before.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Where to count what the peer took of it.
    fn taken(&self) -> Option<Arc<Taken>> {
        None
    }
}

/// What HTTP/2 counts for each field of a head beside its name and value (RFC 9113 §6.5.2).
const PER_FIELD: usize = 32;

/// The size of a request's head. What names its method and scheme is too short to count.
pub(crate) fn request_size<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |host| host.as_str().len());
    head_size(request.headers()) + path + authority
}

/// The size of a head's fields.
pub(crate) fn head_size(fields: &HeaderMap) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + PER_FIELD);
    sizes.sum()
}

/// The longest head that `h2` reads so that we can refuse it, where so many bytes are allowed. What is
/// longer it refuses itself, without our words; and what is four times as long ends the connection.
fn longest_head(allowed: usize) -> u32 {
    const TIMES: usize = 8;
    u32::try_from(allowed.saturating_mul(TIMES)).unwrap_or(u32::MAX)
}
