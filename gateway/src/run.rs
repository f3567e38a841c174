//! The gateway as the program holds it: what starts and stops it, obeys control's snapshots and tells
//! what goes on in it.

pub(crate) mod follower;
pub(crate) mod gateway;
pub(crate) mod insight;
