//! The breadcrumb file: one slot a worker, which names the records that the worker is decoding.
//!
//! Slots are written with `pwrite` into the page cache and never synced: they are read after the death of the process, not of
//! the machine. Each slot bears the number of the life that wrote it, so slots of lives that were judged already are void and need not be
//! cleared at the start.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::suspects::{Breadcrumb, RecordPosition};
use crate::failpoint::{self, Failpoint};

/// A slot names at most so many records.
pub const PLACES_MAX: usize = WORDS - HEADER_WORDS;
/// Words of eight bytes in a slot.
const WORDS: usize = 64;
/// State, life, partition, and how many records.
const HEADER_WORDS: usize = 4;
const SLOT_BYTES: usize = WORDS * 8;

const EMPTY: u64 = 0;
const RUN: u64 = 1;
const ALONE: u64 = 2;
const DECODED: u64 = 3;

/// The slots of this life.
#[derive(Debug)]
pub struct Breadcrumbs {
    file: File,
    life: u64,
    /// One a worker: whether it is closed, which is also the lock under which it is written.
    slots: Vec<Mutex<bool>>,
}

impl Breadcrumbs {
    /// The slots of a life, in a file that is open for writing.
    pub fn new(file: File, life: u64, workers: usize) -> Self {
        Self {
            file,
            life,
            slots: (0..workers).map(|_| Mutex::new(false)).collect(),
        }
    }

    /// Names what a worker decodes from now on: the first [`PLACES_MAX`] offsets, or one record alone with the hash of its bytes.
    pub fn write(
        &self,
        worker: usize,
        partition: u64,
        offsets: impl Iterator<Item = u64>,
        alone: Option<u64>,
    ) {
        let offsets: Vec<u64> = offsets.take(PLACES_MAX).collect();
        let state = if alone.is_some() { ALONE } else { RUN };
        let header = [state, self.life, partition, offsets.len() as u64];
        let words = header.into_iter().chain(offsets).chain(alone);
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        self.write_at(worker, &bytes);
    }

    /// The record that a worker decoded alone is decoded; its rows are on their way to the writers.
    pub fn decoded(&self, worker: usize) {
        self.write_at(worker, &DECODED.to_le_bytes());
    }

    /// The worker decodes nothing any more.
    pub fn clear(&self, worker: usize) {
        self.write_at(worker, &EMPTY.to_le_bytes());
    }

    /// Clears all slots, and lets nothing be written any more.
    pub fn close(&self) {
        for (worker, slot) in self.slots.iter().enumerate() {
            let mut is_closed = slot.lock().unwrap_or_else(PoisonError::into_inner);
            *is_closed = true;
            if let Err(error) = self.write_bytes(worker, &EMPTY.to_le_bytes()) {
                tracing::warn!(%error, "the breadcrumb file cannot be cleared");
            }
        }
    }

    fn write_at(&self, worker: usize, bytes: &[u8]) {
        let Some(slot) = self.slots.get(worker) else {
            return;
        };
        let mut is_closed = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return;
        }
        if let Err(error) = self.write_bytes(worker, bytes) {
            tracing::warn!(%error, "the breadcrumb file cannot be written: a message that kills the process is not found");
            *is_closed = true;
        }
    }

    fn write_bytes(&self, worker: usize, bytes: &[u8]) -> io::Result<()> {
        let at = (worker * SLOT_BYTES) as u64;
        failpoint::write_at(Failpoint::QuarantineSlot, &self.file, bytes, at)
    }
}

/// What slots say that were written after the life `judged`, and the newest life among them.
pub fn read(bytes: &[u8], judged: u64) -> (u64, Vec<Breadcrumb>) {
    let (mut newest, mut found) = (judged, Vec::new());
    for slot in bytes.chunks(SLOT_BYTES) {
        let words: Vec<u64> = slot
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        let [state, life, partition, count, offsets @ ..] = words.as_slice() else {
            continue;
        };
        if *life <= judged {
            continue;
        }
        newest = newest.max(*life);
        found.extend(breadcrumb(*state, *partition, *count, offsets));
    }
    (newest, found)
}

fn breadcrumb(state: u64, partition: u64, count: u64, offsets: &[u64]) -> Option<Breadcrumb> {
    let count = usize::try_from(count).ok()?;
    let alone = match (state, offsets) {
        (RUN, _) => None,
        (ALONE | DECODED, [_, content, ..]) => Some(*content),
        _ => return None,
    };
    let places = offsets.iter().take(count).map(|offset| RecordPosition {
        partition,
        offset: *offset,
    });
    Some(Breadcrumb {
        places: places.collect(),
        alone,
        is_decoded: state == DECODED,
    })
}
