//! Who may use a service, how much of it, and who comes first.

pub(crate) mod access;
pub(crate) mod classes;
pub(crate) mod limits;
