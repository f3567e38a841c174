//! Reports as HTML: one file each, no scripts, nothing loaded from elsewhere.

mod axis;
mod labels;
pub(crate) mod page;
pub(crate) mod plot;
