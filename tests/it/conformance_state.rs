//! One suite for every state store: the rules of the fold, the ledger, parked events, loads, completion and pruning, written
//! against the trait. What only the embedded store promises (files, locks, versions) is in `embedded`.

mod apply;
mod complete;
mod connections;
pub mod database;
mod embedded;
mod letters;
mod load;
mod locks;
mod outbox;
mod parked;
mod plans;
mod prune;
mod random;
mod reading;
mod reference;
mod refusals;
mod server;
mod world;

/// The suite also runs on Postgres if the environment names a server; this test reports whether it did.
#[test]
#[ignore = "needs Postgres: without it the suite covers the other stores only"]
fn suite_runs_on_postgres_too() {
    assert!(database::Database::if_available().is_some());
}
