//! The model that a request names in its body: found as the body comes, and changed as it passes.

mod body;
mod edit;
mod form;
mod rules;
mod scan;
mod text;
mod walk;

pub(crate) use self::{
    body::{Found, Passing},
    rules::Rules,
    scan::{Fault, NAME_MAX, STREAM_OPTIONS},
};

#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod trial;

/// The model that a JSON body names, all of which is looked at: what a bench measures.
#[doc(hidden)]
pub fn model_of(body: &[u8]) -> Option<String> {
    let mut found = Found::of(None, false).ok()?;
    found.feed(body).ok()?;
    found.model().map(str::to_owned)
}
