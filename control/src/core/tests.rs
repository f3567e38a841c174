//! Events told in order, and what the core says of each.

mod chaos;
mod gpus;
mod play;
mod timelines;
