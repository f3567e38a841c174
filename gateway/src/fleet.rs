//! The deployments and their workers as this gateway knows them: who is in flight on which worker, who
//! waits, which worker is left out for a while.

pub(crate) mod deployment;
pub(crate) mod ejection;
pub(crate) mod lease;
pub(crate) mod pick_by;
pub(crate) mod poke;
pub(crate) mod queue;
pub(crate) mod reminders;
pub(crate) mod worker;
