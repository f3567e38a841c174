//! The control service: turns load reports into workers.

pub mod driver;
