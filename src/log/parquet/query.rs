//! Reading the log: the exact view, filtered or whole.
//!
//! Contract: each identity once, at its highest version over all files, and only if *that* row matches. A query holds
//! what it answers with (and a few thousand rows), not what it reads. Compaction and a running writer do no harm: what
//! was durable when a query began is seen.

use std::collections::HashMap;
use std::path::Path;

use super::chunk::{FileChunk, Rank, scan};
use super::filter::time;
use super::schema::Column;
use super::top::Top;
use crate::error::SinkError;
use crate::log::{EventFilter, LoggedEvent};

const KEYS: [Column; 4] = [
    Column::Identity,
    Column::Version,
    Column::ReceivedAt,
    Column::OccurredAt,
];

/// The events that match, ordered by time (then identity).
pub fn events(folder: &Path, filter: &EventFilter) -> Result<Vec<LoggedEvent>, SinkError> {
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut keep = limit.saturating_add(limit / 4);
    loop {
        let top = search(folder, filter, keep)?;
        let complete = top.cutoff().is_none();
        let mut found = top.into_events();
        if complete || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
        // Too many of those held turned out to be superseded by rows that do not match.
        keep = keep.saturating_mul(4).max(16);
    }
}

/// Two passes: what matches, then whether a better row of the same event says otherwise.
fn search(folder: &Path, filter: &EventFilter, keep: usize) -> Result<Top, SinkError> {
    let mut top = Top::new(keep);
    scan(folder, |chunk| collect(chunk, filter, &mut top))?;
    if filter.parts_copies() || top.cutoff().is_some() {
        scan(folder, |chunk| verify(chunk, filter, &mut top))?;
    }
    Ok(top)
}

fn collect(
    chunk: &mut FileChunk<'_>,
    filter: &EventFilter,
    top: &mut Top,
) -> Result<(), SinkError> {
    let rows = filter.matches(chunk)?;
    if rows.is_empty() {
        return Ok(());
    }
    chunk.load(&KEYS)?;
    for row in rows {
        let place = (time(chunk, row), chunk.identity(row));
        let rank = chunk.rank(row);
        top.offer(place, rank, || LoggedEvent::read(chunk, row))?;
    }
    Ok(())
}

fn verify(chunk: &mut FileChunk<'_>, filter: &EventFilter, top: &mut Top) -> Result<(), SinkError> {
    chunk.load(&KEYS)?;
    let better = |row: &usize| top.is_better(chunk.identity(*row), chunk.rank(*row));
    let better: Vec<usize> = (0..chunk.rows()).filter(better).collect();
    if better.is_empty() {
        return Ok(());
    }
    let matching = filter.matches(chunk)?;
    for row in better {
        let (identity, rank) = (chunk.identity(row), chunk.rank(row));
        let event = match matching.binary_search(&row) {
            Ok(_) => Some(LoggedEvent::read(chunk, row)?),
            Err(_) => None,
        };
        if top.is_better(identity, rank) {
            top.verify((time(chunk, row), identity), rank, event);
        }
    }
    Ok(())
}

/// Hands over every event of the exact view once, in no particular order.
///
/// Holds about 50 bytes for each event of the log: meant for tests, oracles and exports.
pub fn for_each(folder: &Path, mut f: impl FnMut(LoggedEvent)) -> Result<(), SinkError> {
    let mut best = ranks(folder)?;
    scan(folder, |chunk| {
        chunk.load(&KEYS)?;
        for row in 0..chunk.rows() {
            let identity = chunk.identity(row);
            if best
                .get(&identity)
                .is_some_and(|best| chunk.rank(row) >= *best)
            {
                f(LoggedEvent::read(chunk, row)?);
                best.remove(&identity);
            }
        }
        Ok(())
    })
}

fn ranks(folder: &Path) -> Result<HashMap<u128, Rank>, SinkError> {
    let mut best: HashMap<u128, Rank> = HashMap::new();
    scan(folder, |chunk| {
        chunk.load(&KEYS)?;
        for row in 0..chunk.rows() {
            let rank = chunk.rank(row);
            let held = best.entry(chunk.identity(row)).or_insert(rank);
            *held = rank.max(*held);
        }
        Ok(())
    })?;
    Ok(best)
}
