//! A set of identities with a TTL and a budget, in a table that never grows.
//!
//! The table is set-associative, like a CPU's cache: an identity may only live in one group of [`WAYS`] slots, chosen by
//! its (already uniform) bits. So every call reads one group and nothing else: there is no resize, no sweep
//! and no step longer than [`WAYS`] comparisons, however many keys are held or expire. When a group is full of live keys
//! the oldest gives way; forgetting early costs a lookup in the ledger, never correctness.

use std::time::Duration;

use crate::key::Identity;
use crate::metrics::{Counter, Gauge, LocalMetrics};

/// Slots in one group.
pub const WAYS: usize = 8;

/// What one key occupies: its identity and its stamp.
pub const KEY_BYTES: usize = 20;

/// Time is kept in these units, so that a stamp fits 32 bits for 13 years.
const UNIT_MS: u128 = 100;

/// A bounded, expiring set of identities. Exact: it compares all 128 bits.
#[derive(Debug)]
pub struct Memory {
    keys: Vec<u128>,
    /// When each key was first seen, in units from 1; 0 marks an empty slot.
    stamps: Vec<u32>,
    groups: usize,
    ttl: u32,
    used: u64,
    evicted: u64,
    expired: u64,
}

impl Memory {
    /// Room for about `keys_max` keys (20 bytes each, touched as they are used), each remembered for `ttl`.
    pub fn new(keys_max: usize, ttl: Duration) -> Self {
        let groups = keys_max.div_ceil(WAYS).max(1).next_power_of_two();
        Self {
            keys: vec![0; groups * WAYS],
            stamps: vec![0; groups * WAYS],
            groups,
            ttl: u32::try_from(ttl.as_millis() / UNIT_MS).unwrap_or(u32::MAX),
            used: 0,
            evicted: 0,
            expired: 0,
        }
    }

    /// How many keys it can hold.
    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// Whether this is the first sight of `identity` within the TTL; if so, it is remembered from `now`.
    pub fn first(&mut self, identity: Identity, now: Duration) -> bool {
        let stamp = stamp_at(now);
        let oldest_live = stamp.saturating_sub(self.ttl);
        let group = self.group(identity);
        let (mut victim, mut victim_stamp) = (group.start, u32::MAX);
        for slot in group {
            let seen = self.stamps[slot];
            let live = seen != 0 && seen >= oldest_live;
            if live && self.keys[slot] == identity.0 {
                return false;
            }
            let rank = if live { seen } else { 0 };
            if rank < victim_stamp {
                (victim, victim_stamp) = (slot, rank);
            }
        }
        self.count_replaced(self.stamps[victim], oldest_live);
        self.keys[victim] = identity.0;
        self.stamps[victim] = stamp;
        true
    }

    /// Takes an identity out, so that its next copy passes.
    pub fn forget(&mut self, identity: Identity) {
        for slot in self.group(identity) {
            if self.keys[slot] == identity.0 && self.stamps[slot] != 0 {
                self.stamps[slot] = 0;
                self.used -= 1;
            }
        }
    }

    /// Says how full the table is, and what left it since this was called last.
    pub fn report(&mut self, counts: &mut LocalMetrics) {
        counts.level(Gauge::DedupKeys, self.used);
        counts.count(Counter::DedupEvicted, std::mem::take(&mut self.evicted));
        counts.count(Counter::DedupExpired, std::mem::take(&mut self.expired));
    }

    const fn count_replaced(&mut self, stamp: u32, oldest_live: u32) {
        match stamp {
            0 => self.used += 1,
            old if old < oldest_live => self.expired += 1,
            _ => self.evicted += 1,
        }
    }

    fn group(&self, identity: Identity) -> std::ops::Range<usize> {
        let start = (identity.0 as usize & (self.groups - 1)) * WAYS;
        start..start + WAYS
    }
}

fn stamp_at(now: Duration) -> u32 {
    u32::try_from(now.as_millis() / UNIT_MS + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Spreads small numbers over all bits, as hashes are.
    fn key(n: u64) -> Identity {
        Identity(u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    proptest! {
        /// With room enough it is exactly the naive map: a copy is dropped if, and only if, the first sight is younger than the TTL.
        #[test]
        fn equals_a_naive_map(steps in proptest::collection::vec((0..40u64, 0..400u64, any::<bool>()), 1..300)) {
            let mut memory = Memory::new(1 << 12, at(1_000));
            let mut naive: HashMap<u64, u64> = HashMap::new();
            let mut now = 0;
            for (n, wait, forget) in steps {
                now += wait / 100 * 100;
                if forget && wait < 20 {
                    memory.forget(key(n));
                    naive.remove(&n);
                }
                let fresh = naive.get(&n).is_none_or(|seen| seen + 1_000 < now);
                if fresh {
                    naive.insert(n, now);
                }
                prop_assert_eq!(memory.first(key(n), at(now)), fresh);
            }
        }

        /// Beyond its budget it forgets, but it never calls a key seen that was not.
        #[test]
        fn never_drops_what_it_has_not_seen(keys in proptest::collection::vec(0..5_000u64, 1..2_000)) {
            let mut memory = Memory::new(64, at(60_000));
            let mut seen = std::collections::HashSet::new();
            for n in keys {
                if !memory.first(key(n), at(0)) {
                    prop_assert!(seen.contains(&n));
                }
                seen.insert(n);
            }
        }
    }

    #[test]
    fn the_table_never_grows() {
        let mut memory = Memory::new(1_000, at(1_000));
        let (capacity, allocated) = (memory.capacity(), memory.keys.capacity());
        for n in 0..100_000 {
            memory.first(key(n), at(n / 10));
        }
        assert_eq!(memory.capacity(), capacity);
        assert_eq!(memory.keys.capacity(), allocated);
    }

    #[test]
    fn the_newest_keys_stay_when_the_budget_ends() {
        let mut memory = Memory::new(WAYS, at(60_000));
        for n in 0..100 {
            assert!(memory.first(key(n), at(n * 100)));
        }
        for n in 96..100 {
            assert!(!memory.first(key(n), at(10_000)), "key {n} was forgotten");
        }
    }
}
