//! The sinks: where the outcome of every event becomes durable.
//!
//! * [`crate::state`]: the judge. One transaction per batch: ledger, fold, counters, completion, parked events.
//! * [`crate::log`]: every event that reaches the sinks, idempotent by identity.
//! * dead letters live in the state store ([`crate::state::StateStore::write_dead_letters`]);
//! * [`writer`]: the thread in front of each, with its policies: [`retry`], [`breaker`], [`bisect`];
//! * [`rows`] and [`operator`]: the dataflow's way to them.
//!
//! Contract: when a call returns `Ok`, what it wrote survives a power cut. A call that returns an error may or may
//! not have written; every call can be repeated with the same rows without doubling anything.

pub mod bisect;
pub mod breaker;
pub mod handles;
pub mod operator;
pub mod retry;
pub mod retry_budget;
pub mod rows;
pub mod writer;
