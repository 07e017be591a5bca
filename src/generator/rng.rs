//! Seeded random numbers, in integers only, so that every machine draws the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers.
pub struct GeneratorRng(ChaCha8Rng);

impl GeneratorRng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` up to, but not, `high`; `low` if there is none.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.saturating_sub(low).max(0) as u64) as i64
    }

    /// True in that share of the cases, to a millionth.
    pub fn chance(&mut self, share: f64) -> bool {
        self.below(1_000_000) < (share.clamp(0.0, 1.0) * 1_000_000.0) as u64
    }
}
