//! A world in parts, and what the embedded job makes of it, whose own result the oracle judges first.

use std::io::Write;
use std::path::{Path, PathBuf};

use hookflow::log::{EventFilter, LoggedEvent, parquet};
use hookflow::state::StateStore;
use hookflow::state::sqlite::SqliteStore;
use hookflow::state::view::Export;

use super::contents::Contents;
use crate::judge::judge;
use crate::process::Replay;
use crate::world::World;

/// A world whose recipients are all in one snapshot.
pub struct Prepared {
    pub world: World,
    pub contents: Contents,
    /// Its deliveries, in so many files.
    pub parts: Vec<PathBuf>,
}

/// What a job made of a world.
pub struct Made {
    pub state: Export,
    pub log: Vec<LoggedEvent>,
}

impl Prepared {
    /// A world, its deliveries cut into so many parts.
    pub fn new(seed: u64, deliveries: u64, users: u64, parts: usize) -> Self {
        let world = World::new(seed, deliveries, users);
        let text = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
        let all = text("snapshot.jsonl") + &text("snapshot-late.jsonl");
        std::fs::write(world.path("snapshot.jsonl"), &all).unwrap();
        std::fs::write(world.path("snapshot-late.jsonl"), "").unwrap();
        let deliveries = world.path("deliveries.jsonl");
        Self {
            contents: Contents::of(&deliveries),
            parts: split(&deliveries, parts),
            world,
        }
    }

    /// What the embedded job makes of it.
    pub fn embedded(&self) -> Made {
        let job = Replay::new(&self.world, "embedded", 2);
        job.succeed().unwrap();
        judge(&self.world, &job.store).unwrap();
        let state = SqliteStore::open(&job.store).unwrap().export().unwrap();
        let log = parquet::events(&job.store.join("log"), &EventFilter::default()).unwrap();
        Made { state, log }
    }
}

/// Cuts a file into so many of about as many lines.
fn split(file: &Path, parts: usize) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let chunks = lines.chunks(lines.len().div_ceil(parts));
    let cut = chunks.enumerate().map(|(number, lines)| {
        let path = file.with_extension(format!("{number}.jsonl"));
        let mut file = std::fs::File::create(&path).unwrap();
        writeln!(file, "{}", lines.join("\n")).unwrap();
        path
    });
    cut.collect()
}
