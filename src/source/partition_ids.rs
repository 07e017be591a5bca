//! Ids of partitions that are the same in every run, unlike their numbers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// From the number of a partition in this run to the hash of its name. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct PartitionIds(Arc<Mutex<HashMap<u32, u64>>>);

impl PartitionIds {
    /// A partition begins.
    pub fn insert(&self, partition: u32, name: &str) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(partition, hash(name.as_bytes()));
    }

    /// The id of a partition; zero if it has not begun.
    pub fn id(&self, partition: u32) -> u64 {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(&partition).copied().unwrap_or_default()
    }
}

/// The first 64 bits of a BLAKE3 hash.
pub fn hash(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
