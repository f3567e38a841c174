//! What flows: the request as the worker gets it, both bodies, tunnels, and the copy for a mirror.

pub(crate) mod copied_body;
pub(crate) mod mirror;
pub(crate) mod outgoing;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod tunnel;
pub(crate) mod unread;
