//! What a request says of itself: the small view of its head that decides about it.

pub(crate) mod api;
pub(crate) mod door;
pub(crate) mod model;
pub(crate) mod redirect;
pub(crate) mod request_head;
pub(crate) mod request_key;
