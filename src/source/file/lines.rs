//! Splits a stream of bytes into lines, and groups lines into runs.
//!
//! Contract: the lines are those of a plain split at `\n` (a last line without it counts, one `\r` before it is
//! dropped, blank lines are skipped), whatever sizes the reads have. Runs follow each other without gaps. A line
//! shares the memory of its block; nothing is copied per line. Memory is bounded: of a line longer than the limit only
//! the beginning is kept. Lines that were read before an error are returned before the error.

use std::io::{self, Read};

use bytes::Bytes;
use memchr::{memchr, memrchr};
use serde::de::IgnoredAny;

use super::fingerprint::{FileFingerprint, FingerprintHasher};

/// The limits of a [`LineReader`].
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// Approximate number of bytes of a run.
    pub block_bytes: usize,
    /// Maximum number of lines of a run.
    pub lines_max: usize,
    /// Length of the longest line that is kept whole.
    pub line_bytes_max: usize,
    /// Number of bytes kept of a longer line; at most `line_bytes_max`.
    pub kept_bytes: usize,
    /// Whether lines are returned after every read instead of after a full block (pipes).
    pub eager: bool,
}

impl LineLimits {
    /// The limits for bodies of that size: a line may be twice as long (escapes) plus 64 KiB (headers).
    pub const fn for_bodies(body_bytes_max: usize) -> Self {
        Self {
            block_bytes: 256 << 10,
            lines_max: 512,
            line_bytes_max: body_bytes_max.saturating_mul(2).saturating_add(64 << 10),
            kept_bytes: 64 << 10,
            eager: false,
        }
    }
}

/// Consecutive lines.
#[derive(Debug)]
pub struct LineRun {
    /// Position of its first byte.
    pub start: u64,
    /// Position of the first byte of the next run.
    pub end: u64,
    /// Position and text of each line; empty if the run holds only blank lines.
    pub lines: Vec<(u64, Bytes)>,
    /// Fingerprint of everything before `end`.
    pub fingerprint: FileFingerprint,
}

/// Reads the lines of one stream.
pub struct LineReader<R> {
    reader: R,
    limits: LineLimits,
    hasher: FingerprintHasher,
    /// Bytes that were read, without a line end in the first `scanned` of them.
    partial: Vec<u8>,
    scanned: usize,
    /// Whole lines that were not returned yet.
    block: Bytes,
    /// Position of the first byte of the block, or else of the partial line.
    at: u64,
    ended: bool,
    failed: Option<io::Error>,
}

enum Filled {
    Block,
    Overlong,
    Ended,
}

impl<R: Read> LineReader<R> {
    /// Reads from position `at`; `hasher` covers everything before it.
    pub const fn new(reader: R, limits: LineLimits, at: u64, hasher: FingerprintHasher) -> Self {
        Self {
            reader,
            limits,
            hasher,
            partial: Vec::new(),
            scanned: 0,
            block: Bytes::new(),
            at,
            ended: false,
            failed: None,
        }
    }

    /// Position of the next run.
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// The next run; `None` at the end.
    pub fn next_run(&mut self) -> io::Result<Option<LineRun>> {
        if self.block.is_empty() {
            match self.fill()? {
                Filled::Block => {}
                Filled::Overlong => return self.truncate_line().map(Some),
                Filled::Ended => return Ok(None),
            }
        }
        Ok(Some(self.take_lines()))
    }

    fn take_lines(&mut self) -> LineRun {
        let start = self.at;
        let mut lines = Vec::with_capacity(self.limits.lines_max.min(512));
        let mut from = 0;
        while from < self.block.len() && lines.len() < self.limits.lines_max {
            let rest = &self.block[from..];
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            if let Some(text) = self.line(from, length) {
                lines.push((start + from as u64, text));
            }
            from = (from + length + 1).min(self.block.len());
        }
        let taken = self.block.split_to(from);
        self.hasher.update(&taken);
        self.at += from as u64;
        self.run(start, lines)
    }

    fn run(&mut self, start: u64, lines: Vec<(u64, Bytes)>) -> LineRun {
        LineRun {
            start,
            end: self.at,
            lines,
            fingerprint: self.hasher.fingerprint(),
        }
    }

    fn line(&self, from: usize, length: usize) -> Option<Bytes> {
        let text = self.block.slice(from..from + length);
        if length > self.limits.line_bytes_max {
            return Some(beginning(&text, self.limits.kept_bytes));
        }
        let text = match text.last() {
            Some(b'\r') => text.slice(..length - 1),
            _ => text,
        };
        (!text.trim_ascii().is_empty()).then_some(text)
    }

    /// Reads until there is a block of whole lines, the partial line is too long, or the input ends.
    fn fill(&mut self) -> io::Result<Filled> {
        loop {
            let enough = self.limits.eager || self.partial.len() >= self.limits.block_bytes;
            if (enough || self.failed.is_some()) && self.split_off_lines() {
                return Ok(Filled::Block);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.partial.len() > self.limits.line_bytes_max && self.has_no_line_end() {
                return Ok(Filled::Overlong);
            }
            if self.ended {
                return Ok(self.take_rest());
            }
            self.read_more();
        }
    }

    /// Moves the whole lines of what was read into the block.
    fn split_off_lines(&mut self) -> bool {
        let unscanned = self.partial.get(self.scanned..).unwrap_or_default();
        let Some(last) = memrchr(b'\n', unscanned) else {
            self.scanned = self.partial.len();
            return false;
        };
        let rest = self.partial.split_off(self.scanned + last + 1);
        self.scanned = rest.len();
        self.block = std::mem::replace(&mut self.partial, rest).into();
        true
    }

    fn has_no_line_end(&self) -> bool {
        let unscanned = self.partial.get(self.scanned..).unwrap_or_default();
        memchr(b'\n', unscanned).is_none()
    }

    fn take_rest(&mut self) -> Filled {
        self.scanned = 0;
        self.block = std::mem::take(&mut self.partial).into();
        if self.block.is_empty() {
            Filled::Ended
        } else {
            Filled::Block
        }
    }

    fn read_more(&mut self) {
        let before = self.partial.len();
        let want = self.limits.block_bytes.max(1);
        let read = if self.limits.eager {
            self.read_once(want.min(64 << 10))
        } else {
            let mut limited = self.reader.by_ref().take(want as u64);
            limited.read_to_end(&mut self.partial).map(|_| ())
        };
        match read {
            Ok(()) => self.ended = self.partial.len() == before,
            Err(error) => self.failed = Some(error),
        }
    }

    fn read_once(&mut self, want: usize) -> io::Result<()> {
        let before = self.partial.len();
        self.partial.resize(before + want, 0);
        let read = loop {
            match self.reader.read(&mut self.partial[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.partial
            .truncate(before + read.as_ref().copied().unwrap_or(0));
        read.map(|_| ())
    }

    /// Returns the beginning of a line that is too long, and goes to the start of the next line.
    fn truncate_line(&mut self) -> io::Result<LineRun> {
        let start = self.at;
        let kept = beginning(
            &Bytes::copy_from_slice(
                &self.partial[..self.partial.len().min(self.limits.kept_bytes)],
            ),
            self.limits.kept_bytes,
        );
        self.skip_line()?;
        Ok(self.run(start, vec![(start, kept)]))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let end = memchr(b'\n', &self.partial).map(|at| at + 1);
            let skipped = end.unwrap_or(self.partial.len());
            self.hasher.update(&self.partial[..skipped]);
            self.at += skipped as u64;
            self.partial.drain(..skipped);
            self.scanned = 0;
            if end.is_some() || self.ended {
                return Ok(());
            }
            self.read_more();
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
        }
    }
}

/// The beginning of a line that is too long: never a complete JSON text, so that it cannot be taken for a delivery.
fn beginning(text: &Bytes, kept_bytes: usize) -> Bytes {
    let kept = text.slice(..text.len().min(kept_bytes));
    if serde_json::from_slice::<IgnoredAny>(&kept).is_err() {
        return kept;
    }
    let shorter = kept.trim_ascii_end().len().saturating_sub(1);
    kept.slice(..shorter)
}
