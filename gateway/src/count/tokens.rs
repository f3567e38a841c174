//! What answers of models tell of their tokens, read as they pass: nothing is held, nothing built.

mod events;
mod json;
mod key;
mod meter;
mod strip;
mod usage;
mod watch;

pub(crate) use self::{
    key::{KNOWN_BY, Kind},
    meter::{Ended, ModelMeter, ModelMeters, Operation, Parts},
    usage::Told,
    watch::{Names, Watch},
};

/// For a bench only: events of a stream, in these pieces; how many of them held tokens.
#[doc(hidden)]
pub fn tokens_of<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> u64 {
    let mut events = events::Events::default();
    let (mut usage, mut count) = (usage::Usage::default(), 0);
    for piece in pieces {
        events.feed(piece, &mut usage, |event, _| {
            count += u64::from(event.has_tokens)
        });
    }
    count
}

#[cfg(test)]
mod tests;
