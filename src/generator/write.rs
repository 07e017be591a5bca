//! A world as a folder of files.
//!
//! `deliveries.jsonl`, `snapshot.jsonl` and `snapshot-late.jsonl` (or `.csv`), `batches.jsonl`, `journal.jsonl`, and
//! last of all `complete`, which is removed first where it was there: a folder without it is half-written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::build::build;
use super::config::GeneratorConfig;
use super::journal;
use super::render::{self, RenderedRequest};
use super::rows::{self, CSV, CSV_HEADER, JSONL};
use super::world::{KnownSince, World};
use crate::failpoint;

pub use super::journal::JournalTotals;

/// How snapshots are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenWorld {
    /// Rows of the first snapshot.
    pub snapshot_rows: u64,
    /// Rows of the second.
    pub late_rows: u64,
    /// Rows of `batches.jsonl`.
    pub batch_rows: u64,
    /// What the journal counts.
    pub totals: JournalTotals,
}

/// The name of the file that is written last.
pub const COMPLETE: &str = "complete";

/// Whether a folder was written to its end.
pub fn is_complete(dir: &Path) -> bool {
    dir.join(COMPLETE).is_file()
}

/// Writes the world of this config; `progress` gets from time to time how many deliveries are written.
pub fn write_to(
    dir: &Path,
    config: GeneratorConfig,
    snapshot: SnapshotFormat,
    progress: impl FnMut(u64),
) -> io::Result<WrittenWorld> {
    failpoint::create_dir_all(dir)?;
    failpoint::remove_output(&dir.join(COMPLETE))?;
    let world = build(config);
    let written = std::thread::scope(|scope| {
        let tables = scope.spawn(|| tables(&world, dir, snapshot));
        deliveries(&world, &dir.join("deliveries.jsonl"), progress)?;
        let gone = |_| io::Error::other("the thread that writes the journal is gone");
        tables.join().map_err(gone)?
    })?;
    complete(&world, dir)?;
    Ok(written)
}

/// Everything but the deliveries, which a thread of its own writes meanwhile.
fn tables(world: &World, dir: &Path, snapshot: SnapshotFormat) -> io::Result<WrittenWorld> {
    let mut file = create(&dir.join("journal.jsonl"))?;
    let totals = journal::write(world, &mut file)?;
    file.flush()?;
    Ok(WrittenWorld {
        snapshot_rows: snapshot_file(world, dir, "snapshot", KnownSince::Early, snapshot)?,
        late_rows: snapshot_file(world, dir, "snapshot-late", KnownSince::Late, snapshot)?,
        batch_rows: batches(world, &dir.join("batches.jsonl"))?,
        totals,
    })
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(
        1 << 20,
        failpoint::create_output(path)?,
    ))
}

fn deliveries(world: &World, path: &Path, mut progress: impl FnMut(u64)) -> io::Result<()> {
    const PROGRESS_EVERY: usize = 4_096;
    let mut file = create(path)?;
    let mut request = RenderedRequest::default();
    let mut text = Vec::with_capacity(1 << 16);
    for (done, copy) in world.order.iter().enumerate() {
        text.clear();
        render::line(world, *copy, &mut request, &mut text);
        file.write_all(&text)?;
        if done.is_multiple_of(PROGRESS_EVERY) {
            progress(done as u64);
        }
    }
    progress(world.order.len() as u64);
    file.flush()
}

fn snapshot_file(
    world: &World,
    dir: &Path,
    name: &str,
    known: KnownSince,
    format: SnapshotFormat,
) -> io::Result<u64> {
    let (ending, layout, header) = match format {
        SnapshotFormat::Jsonl => ("jsonl", &JSONL, ""),
        SnapshotFormat::Csv => ("csv", &CSV, CSV_HEADER),
    };
    let mut file = create(&dir.join(format!("{name}.{ending}")))?;
    file.write_all(header.as_bytes())?;
    let mut text = Vec::new();
    let mut count = 0;
    let mut outcome = Ok(());
    rows::each_row(world, known, |v, person| {
        text.clear();
        rows::write_row(v, person, layout, &mut text);
        if outcome.is_ok() {
            outcome = file.write_all(&text);
        }
        count += 1;
    });
    outcome?;
    file.flush()?;
    Ok(count)
}

fn batches(world: &World, path: &Path) -> io::Result<u64> {
    let mut file = create(path)?;
    let mut text = Vec::new();
    let mut count = 0;
    for batch in world.batches.iter().filter(|batch| batch.given.is_some()) {
        text.clear();
        rows::write_batch(world, batch, &mut text);
        file.write_all(&text)?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

fn complete(world: &World, dir: &Path) -> io::Result<()> {
    let mut file = create(&dir.join(COMPLETE))?;
    let GeneratorConfig { seed, .. } = world.config;
    writeln!(file, "seed {seed}, {} deliveries", world.order.len())?;
    file.flush()
}
