//! One suite for every state store: the rules of the fold, the ledger, parked events, loads, completion and pruning, written
//! against the trait. What only the embedded store promises (files, locks, versions) is in `embedded`.

mod apply;
mod complete;
mod connections;
pub mod database;
mod embedded;
mod letters;
mod load;
mod outbox;
mod parked;
mod plans;
mod prune;
mod random;
mod reading;
mod refusals;
mod server;
mod world;
