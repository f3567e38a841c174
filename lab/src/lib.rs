//! What Penstock is tried with. The product needs none of it and can be read without it.
//!
//! - [`simulate`] replays recorded arrivals in virtual time, against Penstock's own scaling or against what
//!   other systems publish of theirs.
//! - [`command`] is `penstock simulate`: what is asked for, tables and the report.
//! - [`load`] is `penstock load`: it finds out how much a service can take.
//! - [`worker`] is `penstock worker`: a simulated GPU worker that speaks as real ones do.

pub mod command;
mod html;
pub mod load;
pub mod simulate;
pub mod worker;
