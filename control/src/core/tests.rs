//! Events told in order, and what the core says of each.

mod by_hand;
mod chaos;
mod crash;
mod gpus;
mod play;
mod timelines;
mod updates;
