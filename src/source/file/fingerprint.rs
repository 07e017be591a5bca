//! Fingerprints tell whether a file is still the one that was read: hashes of its beginning and of what was last read.
//!
//! Contract: a fingerprint belongs to a position and is a pure function of the decompressed bytes before it: the first
//! 128 bits of BLAKE3 over the first 64 KiB, a dash, and the same over the last 64 KiB before the position (both
//! shorter where the position is). It is computed from the bytes as they were read and never from the path afterwards, so
//! that a file that is replaced while it is read (log rotation) cannot be taken for its predecessor. A file that only grew
//! still matches. Memory: at most 192 KiB.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memrchr;

use crate::failpoint::{Failpoint, PointReader};

/// Number of bytes that each of the two hashes covers.
const SPAN: usize = 64 << 10;

/// 128 bits over the beginning and 128 bits over the end of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFingerprint([u8; 32]);

impl std::fmt::Display for FileFingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if at == 16 { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Computes fingerprints while the bytes of a file are read in order.
#[derive(Debug, Default)]
pub struct FingerprintHasher {
    head: Vec<u8>,
    /// Set once the head is full: its hash does not change any more.
    head_hash: Option<[u8; 16]>,
    tail: Vec<u8>,
    /// Number of bytes so far.
    length: u64,
    /// Where the last line starts: behind the last line end.
    line_start: u64,
}

impl FingerprintHasher {
    /// Adds the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(end) = memrchr(b'\n', bytes) {
            self.line_start = self.length + end as u64 + 1;
        }
        self.length += bytes.len() as u64;
        let room = (SPAN - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if self.head.len() == SPAN && self.head_hash.is_none() {
            self.head_hash = Some(short_hash(&self.head));
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

    /// The fingerprint of the position behind all bytes so far.
    pub fn fingerprint(&self) -> FileFingerprint {
        let mut both = [0u8; 32];
        let head = self.head_hash.unwrap_or_else(|| short_hash(&self.head));
        both[..16].copy_from_slice(&head);
        let tail = &self.tail[self.tail.len().saturating_sub(SPAN)..];
        both[16..].copy_from_slice(&short_hash(tail));
        FileFingerprint(both)
    }

    /// The start of the line that the position is in; the position itself where a line ends just before it.
    pub const fn line_start(&self) -> u64 {
        self.line_start
    }

    /// A hasher over the first `offset` bytes of a plain file, of which little is read; `None` if the file is shorter.
    pub fn of_plain(mut file: impl Read + Seek, offset: u64) -> io::Result<Option<Self>> {
        let mut hasher = Self {
            length: offset,
            ..Self::default()
        };
        let span = offset.min(SPAN as u64);
        read_at(&mut file, 0, span, &mut hasher.head)?;
        read_at(&mut file, offset - span, span, &mut hasher.tail)?;
        if hasher.head.len() as u64 != span || hasher.tail.len() as u64 != span {
            return Ok(None);
        }
        if hasher.head.len() == SPAN {
            hasher.head_hash = Some(short_hash(&hasher.head));
        }
        hasher.line_start = line_start_before(&mut file, offset)?;
        Ok(Some(hasher))
    }

    /// A hasher over the first `offset` bytes of a stream; `None` if the stream is shorter.
    pub fn of_stream(reader: &mut impl Read, offset: u64) -> io::Result<Option<Self>> {
        let mut hasher = Self::default();
        let mut left = offset;
        let mut chunk = Vec::new();
        while left > 0 {
            chunk.clear();
            let want = left.min(4 * SPAN as u64);
            reader.by_ref().take(want).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            hasher.update(&chunk);
            left -= chunk.len() as u64;
        }
        Ok(Some(hasher))
    }
}

fn read_at(
    file: &mut (impl Read + Seek),
    start: u64,
    length: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.clear();
    file.seek(SeekFrom::Start(start))?;
    let reader = PointReader::new(Failpoint::SourceRead, file);
    reader.take(length).read_to_end(bytes).map(drop)
}

/// Reads backwards from `offset` to the last line end.
fn line_start_before(file: &mut (impl Read + Seek), offset: u64) -> io::Result<u64> {
    let mut end = offset;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(SPAN as u64);
        read_at(file, start, end - start, &mut chunk)?;
        if let Some(at) = memrchr(b'\n', &chunk) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut first = [0u8; 16];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    first
}

/// Fingerprints of the positions at which open records end: the reader records them, the job asks for them.
#[derive(Clone, Debug, Default)]
pub struct FileFingerprints(Arc<Mutex<HashMap<u32, BTreeMap<u64, FileFingerprint>>>>);

impl FileFingerprints {
    /// Records the fingerprint of a position of the partition.
    pub(super) fn record(&self, partition: u32, offset: u64, fingerprint: FileFingerprint) {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        partitions
            .entry(partition)
            .or_default()
            .insert(offset, fingerprint);
    }

    /// The fingerprint of a partition's committed offset; forgets those below it.
    ///
    /// `None` where no records ended there, and for partitions that cannot be resumed (standard input, folders of bodies).
    pub fn at_offset(&self, partition: u32, offset: u64) -> Option<String> {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = partitions.get_mut(&partition)?;
        *ends = ends.split_off(&offset);
        ends.get(&offset).map(FileFingerprint::to_string)
    }
}
