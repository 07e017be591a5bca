//! The oracle: the real binary, as a process, against a naive fold of what is true.
//!
//! [`truth`] folds the generator's journal with rules of its own, [`store`] reads what the binary left, and [`judge`]
//! names the first difference. Nothing there uses the program's operators, fold or decoders. [`fleet`] does the same over real
//! servers, against what the embedded job makes of the same deliveries.
#![cfg(feature = "faults")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod fleet;
mod full_disk;
mod judge;
mod kills;
mod points;
mod process;
mod seeds;
#[path = "../it/skip.rs"]
mod skip;
mod store;
mod truth;
mod world;
mod wrong;
