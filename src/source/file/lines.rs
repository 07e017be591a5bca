//! Cuts a stream of bytes into lines, and lines into runs that become parcels.
//!
//! Contract: the lines are those of the naive split at `\n` (a last line without it counts, one `\r` before it is
//! dropped, blank lines are skipped), whatever sizes the reads have; runs follow each other without gaps. A line
//! shares the memory of its block, nothing is copied per line. Memory is bounded: a line longer than the limit is
//! cut off, only its beginning is kept, and reading goes on behind its end. What was read before an error is
//! handed out before the error is.

use std::io::{self, Read};

use bytes::Bytes;
use memchr::{memchr, memrchr};
use serde::de::IgnoredAny;

use super::witness::{Proof, Witness};

/// What bounds the cutting.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// About how many bytes a run has.
    pub block_bytes: usize,
    /// Most lines of a run.
    pub lines_max: usize,
    /// Longest line that is kept whole.
    pub line_bytes_max: usize,
    /// How much of a longer line is kept; no more than `line_bytes_max`.
    pub kept_bytes: usize,
    /// Hand out what there is after every read, instead of waiting for a full block (pipes).
    pub eager: bool,
}

impl Limits {
    /// The limits for bodies of that size: a line may be twice as long (escapes) and 64 KiB (headers).
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

/// A run of lines.
#[derive(Debug)]
pub struct Run {
    /// Where it starts.
    pub start: u64,
    /// Where the next one starts.
    pub end: u64,
    /// Each line's position and text; none if the run holds only blank lines.
    pub lines: Vec<(u64, Bytes)>,
    /// Proof of everything before `end`.
    pub proof: Proof,
}

/// Cuts one stream.
pub struct Cutter<R> {
    reader: R,
    limits: Limits,
    witness: Witness,
    /// Read, but without a line end yet in its first `scanned` bytes.
    partial: Vec<u8>,
    scanned: usize,
    /// Whole lines that are not handed out yet.
    block: Bytes,
    /// The position of the block's first byte, or of the partial line's.
    at: u64,
    ended: bool,
    failed: Option<io::Error>,
}

enum Filled {
    Block,
    Overlong,
    Ended,
}

impl<R: Read> Cutter<R> {
    /// Cuts what the reader yields from position `at`, before which `witness` has seen everything.
    pub const fn new(reader: R, limits: Limits, at: u64, witness: Witness) -> Self {
        Self {
            reader,
            limits,
            witness,
            partial: Vec::new(),
            scanned: 0,
            block: Bytes::new(),
            at,
            ended: false,
            failed: None,
        }
    }

    /// Where the next run starts.
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// The next run; none at the end.
    pub fn next_run(&mut self) -> io::Result<Option<Run>> {
        if self.block.is_empty() {
            match self.fill()? {
                Filled::Block => {}
                Filled::Overlong => return self.cut_off().map(Some),
                Filled::Ended => return Ok(None),
            }
        }
        Ok(Some(self.take_lines()))
    }

    fn take_lines(&mut self) -> Run {
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
        self.witness.see(&taken);
        self.at += from as u64;
        self.run(start, lines)
    }

    fn run(&mut self, start: u64, lines: Vec<(u64, Bytes)>) -> Run {
        Run {
            start,
            end: self.at,
            lines,
            proof: self.witness.proof(),
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
            if self.partial.len() > self.limits.line_bytes_max && self.split_nowhere() {
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
        let unseen = self.partial.get(self.scanned..).unwrap_or_default();
        let Some(last) = memrchr(b'\n', unseen) else {
            self.scanned = self.partial.len();
            return false;
        };
        let rest = self.partial.split_off(self.scanned + last + 1);
        self.scanned = rest.len();
        self.block = std::mem::replace(&mut self.partial, rest).into();
        true
    }

    fn split_nowhere(&self) -> bool {
        let unseen = self.partial.get(self.scanned..).unwrap_or_default();
        memchr(b'\n', unseen).is_none()
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

    /// Hands out the beginning of a line that is too long, and goes to the start of the next one.
    fn cut_off(&mut self) -> io::Result<Run> {
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
            self.witness.see(&self.partial[..skipped]);
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

/// The beginning of a line that is too long: never a whole JSON text, so that it cannot pass for a delivery.
fn beginning(text: &Bytes, kept_bytes: usize) -> Bytes {
    let kept = text.slice(..text.len().min(kept_bytes));
    if serde_json::from_slice::<IgnoredAny>(&kept).is_err() {
        return kept;
    }
    let shorter = kept.trim_ascii_end().len().saturating_sub(1);
    kept.slice(..shorter)
}
