//! Proof that a file is still the one that was read: hashes of its beginning and of what was last read.
//!
//! Contract: a proof belongs to a position and is a pure function of the bytes before it, decompressed: the first
//! 128 bits of BLAKE3 over the first 64 KiB, a dash, and the same over the last 64 KiB before the position (both
//! shorter where the position is). It is taken from the bytes as they were read and never from the path afterwards,
//! so that a file replaced while it was read (log rotation) cannot lend its bytes to the position of its predecessor.
//! A file that only grew still matches. Memory: at most 192 KiB.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::open;
use crate::failpoint::{Failpoint, PointReader};

/// How many bytes each of the two hashes covers.
const SPAN: usize = 64 << 10;

/// A proof: 128 bits over the beginning, 128 bits over the end of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof([u8; 32]);

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if at == 16 { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Sees the bytes of a partition go by, in order.
#[derive(Debug, Default)]
pub struct Witness {
    head: Vec<u8>,
    /// Set once the head is full: its hash never changes again.
    head_hash: Option<[u8; 16]>,
    tail: Vec<u8>,
}

impl Witness {
    /// The next bytes of the partition.
    pub fn see(&mut self, bytes: &[u8]) {
        let room = (SPAN - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if self.head.len() == SPAN && self.head_hash.is_none() {
            self.head_hash = Some(short(&self.head));
        }
        if bytes.len() >= SPAN {
            self.tail.clear();
        }
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(SPAN)..]);
        if self.tail.len() > 2 * SPAN {
            self.tail.drain(..self.tail.len() - SPAN);
        }
    }

    /// The proof of the position behind everything seen.
    pub fn proof(&self) -> Proof {
        let mut both = [0u8; 32];
        let head = self.head_hash.unwrap_or_else(|| short(&self.head));
        both[..16].copy_from_slice(&head);
        let tail = &self.tail[self.tail.len().saturating_sub(SPAN)..];
        both[16..].copy_from_slice(&short(tail));
        Proof(both)
    }

    /// A witness that has seen the first `offset` bytes of a plain file, by two short reads; none if it is shorter.
    pub fn of_plain(mut file: impl Read + Seek, offset: u64) -> io::Result<Option<Self>> {
        let mut witness = Self::default();
        let span = offset.min(SPAN as u64);
        file.seek(SeekFrom::Start(0))?;
        let reader = PointReader::new(Failpoint::SourceRead, file.by_ref());
        reader.take(span).read_to_end(&mut witness.head)?;
        file.seek(SeekFrom::Start(offset - span))?;
        let reader = PointReader::new(Failpoint::SourceRead, file);
        reader.take(span).read_to_end(&mut witness.tail)?;
        if witness.head.len() == SPAN {
            witness.head_hash = Some(short(&witness.head));
        }
        let whole = witness.head.len() as u64 == span && witness.tail.len() as u64 == span;
        Ok(whole.then_some(witness))
    }

    /// A witness that has read the first `offset` bytes of a stream; none if it is shorter.
    pub fn of_stream(reader: &mut impl Read, offset: u64) -> io::Result<Option<Self>> {
        let mut witness = Self::default();
        let mut left = offset;
        let mut chunk = Vec::new();
        while left > 0 {
            chunk.clear();
            let want = left.min(4 * SPAN as u64);
            reader.by_ref().take(want).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            witness.see(&chunk);
            left -= chunk.len() as u64;
        }
        Ok(Some(witness))
    }
}

fn short(bytes: &[u8]) -> [u8; 16] {
    let mut first = [0u8; 16];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    first
}

/// The proof of a position, computed from the file: cheap for a plain file, one pass for a compressed one.
///
/// None if the file is shorter. A running job asks [`Proofs`] instead, which needs no file.
pub fn proof(path: &Path, offset: u64) -> io::Result<Option<String>> {
    let mut opened = open::file(path)?;
    let witness = match opened.seekable() {
        Some(file) => Witness::of_plain(file, offset)?,
        None => Witness::of_stream(&mut opened.reader, offset)?,
    };
    Ok(witness.map(|witness| witness.proof().to_string()))
}

/// The proofs of the positions at which open parcels end: the reader notes them, the job asks for one at a time.
#[derive(Clone, Debug, Default)]
pub struct Proofs(Arc<Mutex<HashMap<u32, BTreeMap<u64, Proof>>>>);

impl Proofs {
    /// A parcel of the partition ends here.
    pub(super) fn note(&self, partition: u32, offset: u64, proof: Proof) {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        partitions
            .entry(partition)
            .or_default()
            .insert(offset, proof);
    }

    /// The proof of a partition's settled floor; forgets those below it.
    ///
    /// None where no parcel ended there, and for partitions that cannot be resumed (standard input, folders of bodies).
    pub fn at_floor(&self, partition: u32, floor: u64) -> Option<String> {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = partitions.get_mut(&partition)?;
        *ends = ends.split_off(&floor);
        ends.get(&floor).map(Proof::to_string)
    }
}
