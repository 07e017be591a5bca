//! Files of deliveries: JSONL (plain, gzip or zstd), standard input, and folders of raw bodies.
//!
//! One thread reads one input after the other and splits lines; the workers parse them. Contract, beyond that of every source:
//!
//! * an offset is a byte in the decompressed stream ([`lines`]). [`Records`] hold up to 512 lines or about 256 KiB, or none
//!   (a run of blank lines), so that offsets have no gaps;
//! * an input that cannot be read to its end is reported as [`PartitionEvent::Failed`], and the next input is read;
//! * a partition resumes only if its [`fingerprint`] still matches. If it does not, or the file is shorter now, the file is
//!   read from its start and [`PartitionEvent::Restarted`] says so. Standard input and folders of bodies never resume;
//! * a last line without a line end is read as it is, and read again, whole, when the file is resumed: it may have been
//!   incomplete;
//! * memory is bounded by a few blocks and the longest line allowed;
//! * a raised stop flag ends it at the next read. A read that blocks on standard input is not interrupted: such a
//!   thread may be abandoned.

mod bodies;
pub mod connector;
pub mod fingerprint;
pub mod inputs;
pub mod lines;
pub mod open;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::bodies::Bodies;
use self::fingerprint::{FileFingerprints, FingerprintHasher};
use self::inputs::FileInput;
use self::lines::{LineLimits, LineReader, LineRun};
use self::open::{Opened, Stoppable};
use super::{EnvelopeDefaults, PartitionEvent, Record, RecordSender, Records, Stopped};
use crate::event::Origin;

/// Where a partition is resumed, and what it must still be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Everything before it is durable.
    pub offset: u64,
    /// The result of [`FileFingerprints::at_offset`] for that offset.
    pub fingerprint: String,
}

/// How files are read.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The tenant and, for folders of bodies, the provider.
    pub defaults: EnvelopeDefaults,
    /// The limit on bodies, from which that on lines follows.
    pub body_bytes_max: usize,
    /// Raised to end the reading.
    pub stop: Arc<AtomicBool>,
}

/// Reads inputs one after the other.
#[derive(Debug)]
pub struct FileSource {
    inputs: Vec<FileInput>,
    resume: HashMap<String, Resume>,
    options: FileOptions,
    fingerprints: FileFingerprints,
}

/// Why the reading of a partition ended early.
enum ReadError {
    Stopped,
    Failed(String),
}

impl From<Stopped> for ReadError {
    fn from(_: Stopped) -> Self {
        ReadError::Stopped
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Failed(error.to_string())
    }
}

impl FileSource {
    /// A source over paths, globs, folders and `-`; `resume` goes by partition name. Partitions are numbered from 0 in that order.
    pub fn new(specs: &[String], resume: HashMap<String, Resume>, options: FileOptions) -> Self {
        Self {
            inputs: inputs::expand(specs, options.defaults.provider.is_some()),
            resume,
            options,
            fingerprints: FileFingerprints::default(),
        }
    }

    /// The same source, which records into the fingerprints of the job.
    pub fn with_fingerprints(self, fingerprints: FileFingerprints) -> Self {
        Self {
            fingerprints,
            ..self
        }
    }

    /// Reads everything; returns at the end of the last input, or with an error when nobody receives records any more.
    pub fn run(self, mut sender: RecordSender) -> Result<(), Stopped> {
        for (partition, input) in (0..).zip(&self.inputs) {
            let read = match input {
                FileInput::Lines(path) => self.file(partition, path, &mut sender),
                FileInput::Stdin => self.stdin(partition, &mut sender),
                FileInput::Bodies(folder) => self.bodies(partition, folder, &mut sender),
                FileInput::Unreadable(_, why) => Err(ReadError::Failed(why.clone())),
            };
            self.conclude(partition, input, read, &sender)?;
        }
        Ok(())
    }

    fn conclude(
        &self,
        partition: u32,
        input: &FileInput,
        read: Result<u64, ReadError>,
        sender: &RecordSender,
    ) -> Result<(), Stopped> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        match read {
            Ok(offset) => sender.send_event(PartitionEvent::Ended { partition, offset }),
            Err(ReadError::Stopped) => Err(Stopped),
            Err(ReadError::Failed(why)) => sender.send_event(PartitionEvent::Failed {
                partition,
                reason: format!("{} cannot be read: {why}", input.name()),
            }),
        }
    }

    fn file(
        &self,
        partition: u32,
        path: &Path,
        sender: &mut RecordSender,
    ) -> Result<u64, ReadError> {
        let name = path.display().to_string();
        let (opened, start, hasher) = match self.resume.get(&name) {
            Some(resume) => self.resumed(partition, path, resume, sender)?,
            None => (open::file(path)?, 0, FingerprintHasher::default()),
        };
        let mut limits = LineLimits::for_bodies(self.options.body_bytes_max);
        limits.eager = opened.seekable().is_none() && !path.is_file();
        sender.send_event(PartitionEvent::Begins {
            partition,
            name,
            offset: start,
            length: opened.length(),
        })?;
        // Also an input without a single line has an end that can be committed.
        self.fingerprints
            .record(partition, start, hasher.fingerprint());
        let reader = Stoppable::new(opened.reader, Arc::clone(&self.options.stop));
        let lines = LineReader::new(reader, limits, start, hasher);
        self.lines(partition, lines, sender)
    }

    /// Opens a file at the offset to resume from, or at its start if it is not the file that was read.
    ///
    /// The offset is inside a line if the last line had no line end. It is then read again from its start.
    fn resumed(
        &self,
        partition: u32,
        path: &Path,
        resume: &Resume,
        sender: &RecordSender,
    ) -> Result<(Opened, u64, FingerprintHasher), ReadError> {
        let (opened, hasher) = self.open_at(path, resume.offset)?;
        let reason = match hasher {
            None => "the file is shorter than what was read of it",
            Some(hasher) if hasher.fingerprint().to_string() != resume.fingerprint => {
                "the file is not the one that was read"
            }
            Some(hasher) if hasher.line_start() == resume.offset => {
                return Ok((opened, resume.offset, hasher));
            }
            Some(hasher) => {
                let start = hasher.line_start();
                match self.open_at(path, start)? {
                    (opened, Some(hasher)) => return Ok((opened, start, hasher)),
                    (_, None) => "the file became shorter while it was opened",
                }
            }
        };
        sender.send_event(PartitionEvent::Restarted {
            partition,
            reason: format!("{}: {reason}; it is read from its start", path.display()),
        })?;
        Ok((open::file(path)?, 0, FingerprintHasher::default()))
    }

    /// Opens a file at an offset; without a hasher if the file is shorter.
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<(Opened, Option<FingerprintHasher>)> {
        let mut opened = open::file(path)?;
        if let Some(mut file) = opened.seekable() {
            let hasher = FingerprintHasher::of_plain(file, offset)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
            opened.restart_reader()?;
            return Ok((opened, hasher));
        }
        let mut reader = Stoppable::new(&mut opened.reader, Arc::clone(&self.options.stop));
        let hasher = FingerprintHasher::of_stream(&mut reader, offset)?;
        Ok((opened, hasher))
    }

    fn stdin(&self, partition: u32, sender: &mut RecordSender) -> Result<u64, ReadError> {
        sender.send_event(PartitionEvent::Begins {
            partition,
            name: "-".into(),
            offset: 0,
            length: None,
        })?;
        let reader = Stoppable::new(open::stdin()?.reader, Arc::clone(&self.options.stop));
        let mut limits = LineLimits::for_bodies(self.options.body_bytes_max);
        limits.eager = true;
        let lines = LineReader::new(reader, limits, 0, FingerprintHasher::default());
        self.lines(partition, lines, sender)
    }

    fn lines(
        &self,
        partition: u32,
        mut lines: LineReader<impl io::Read>,
        sender: &mut RecordSender,
    ) -> Result<u64, ReadError> {
        while let Some(run) = lines.next_run()? {
            self.fingerprints
                .record(partition, run.end, run.fingerprint);
            sender.hand_out(records(partition, run))?;
        }
        Ok(lines.position())
    }

    fn bodies(
        &self,
        partition: u32,
        folder: &Path,
        sender: &mut RecordSender,
    ) -> Result<u64, ReadError> {
        let defaults = &self.options.defaults;
        let provider = defaults.provider.clone().unwrap_or_default();
        let bytes_max = self.options.body_bytes_max;
        let bodies = Bodies::list(folder, provider, defaults.user.clone(), bytes_max)?;
        sender.send_event(PartitionEvent::Begins {
            partition,
            name: folder.display().to_string(),
            offset: 0,
            length: Some(bodies.count() as u64),
        })?;
        for at in 0..bodies.count() {
            self.body(partition, &bodies, at, sender)?;
        }
        Ok(bodies.count() as u64)
    }

    fn body(
        &self,
        partition: u32,
        bodies: &Bodies,
        at: usize,
        sender: &mut RecordSender,
    ) -> Result<(), ReadError> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(ReadError::Stopped);
        }
        let Some(read) = bodies.read(partition, at) else {
            return Ok(());
        };
        let record = Record::Ready(Arc::new(read?));
        sender.hand_out(Records {
            due: None,
            partition,
            start: at as u64,
            end: at as u64 + 1,
            bytes: record.bytes(),
            records: vec![record],
        })?;
        Ok(())
    }
}

fn records(partition: u32, run: LineRun) -> Records {
    let records: Vec<Record> = run
        .lines
        .into_iter()
        .map(|(offset, text)| Record::Line(Origin { partition, offset }, text))
        .collect();
    Records {
        due: None,
        partition,
        start: run.start,
        end: run.end,
        bytes: records.iter().map(Record::bytes).sum(),
        records,
    }
}
