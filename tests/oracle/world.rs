//! Generated worlds: written by the binary, then shuffled, doubled and spoiled by the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::process;
use crate::truth::{self, Truth};

/// One world on disk and what is true of it.
pub struct World {
    pub seed: u64,
    pub truth: Truth,
    folder: TempDir,
}

/// A random generator of its own for `seed` and a purpose.
pub fn random(seed: u64, purpose: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ purpose)
}

impl World {
    /// Generates a world; its deliveries are shuffled, up to half of them repeated, and three lines are no deliveries.
    pub fn new(seed: u64, deliveries: u64, users: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(process::BINARY);
        command
            .args(["generate", "--seed", &seed.to_string(), "--out"])
            .arg(folder.path())
            .args(["--deliveries", &deliveries.to_string()])
            .args(["--users", &users.to_string()]);
        let done = process::run(command, "generate").unwrap();
        assert!(done.success(), "generate --seed {seed} failed");
        let journal = std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap();
        let mut truth = truth::fold(&journal);
        spoil(seed, &folder.path().join("deliveries.jsonl"), &mut truth);
        Self {
            seed,
            truth,
            folder,
        }
    }

    /// A file or folder of the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn spoil(seed: u64, path: &Path, truth: &mut Truth) {
    let mut random = random(seed, 1);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for number in 0..3 {
        let bad = format!("no delivery {seed} {number}");
        let sha: [u8; 32] = Sha256::digest(&bad).into();
        truth.dead.insert(("source".to_owned(), 0, hex(&sha)), 1);
        lines.push(bad);
    }
    let repeats = random.random_range(0..=lines.len() / 2);
    for _ in 0..repeats {
        let again = lines.choose(&mut random).unwrap().clone();
        lines.push(again);
    }
    lines.shuffle(&mut random);
    count_copies(&lines, truth);
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// How many lines hold each dead letter, by the hash of the line or of the body in it.
fn count_copies(lines: &[String], truth: &mut Truth) {
    let mut copies: BTreeMap<String, i64> = BTreeMap::new();
    let mut count = |bytes: &[u8]| {
        let sha: [u8; 32] = Sha256::digest(bytes).into();
        *copies.entry(hex(&sha)).or_default() += 1;
    };
    for line in lines {
        count(line.as_bytes());
        let delivery: Option<Value> = serde_json::from_str(line).ok();
        if let Some(body) = delivery.as_ref().and_then(|line| line["body"].as_str()) {
            count(body.as_bytes());
        }
    }
    for ((.., sha), known) in &mut truth.dead {
        let found = copies.get(sha).copied().unwrap_or(0);
        assert!(
            found >= *known,
            "{sha}: {found} lines, {known} in the journal"
        );
        *known = found;
    }
}

/// Hex digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
