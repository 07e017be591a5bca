//! One suite for every state store: the rules of the fold, the ledger, parked events, loads, completion and pruning, written
//! against the trait. What only the embedded store promises (files, locks, versions) is in `embedded`.

mod apply;
mod complete;
pub mod database;
mod embedded;
mod letters;
mod load;
mod parked;
mod prune;
mod random;
mod server;
mod world;
