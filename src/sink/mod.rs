//! The sinks: where the outcome of every event becomes durable.
//!
//! * [`state`]: the judge. One transaction per batch: ledger, fold, counters, completion, parked events.
//! * [`log`]: every event that reaches the sinks, idempotent by identity.
//! * [`writer`]: the thread in front of each, with its policies: [`retry`], [`breaker`], [`bisect`].
//! * dead letters live in the state store ([`state::StateStore::bury`]).
//!
//! Contract: when a call returns `Ok`, what it wrote survives a power cut. A call that returns an error may or may
//! not have written; every call can be repeated with the same rows without doubling anything.

pub mod bisect;
pub mod breaker;
pub mod log;
pub mod retry;
pub mod state;
pub mod writer;
