//! What is counted: for metrics, for the reports to control, and for those who ask what is slow.

pub(crate) mod clients;
pub(crate) mod load_meter;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod outcome_meter;
pub(crate) mod recent;
pub(crate) mod spread;
pub(crate) mod tokens;
