//! The advisory locks of a store: numbers that all its processes agree on, apart for each schema.

use super::connect::Lock;
use crate::state::LoadId;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The schema is changed.
    Migration,
    /// Shared by every batch of events, held alone while ledger keys are dropped.
    LedgerFloor,
    /// A load ends: finish numbers become visible in their order.
    LoadEnd,
    /// Partitions are made ahead.
    Partitions,
    /// A load is open; its session holds it.
    Load(LoadId),
}

/// The lock of that schema.
pub(super) fn lock(schema: &str, what: What) -> Lock {
    let hash = blake3::hash(format!("hookflow {schema}").as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    Lock(i32::from_be_bytes([a, b, c, d]), number(what))
}

const fn number(what: What) -> i32 {
    match what {
        What::Migration => 1,
        What::LedgerFloor => 2,
        What::LoadEnd => 3,
        What::Partitions => 4,
        // Open loads are few and their numbers near each other, so none meets another after a turn of the circle.
        What::Load(load) => 1_000 + (load.0 & 0x3fff_ffff) as i32,
    }
}
