//! Files of deliveries: JSONL (plain, gzip or zstd), standard input, and folders of raw bodies.
//!
//! The reader is one plain thread that reads one input after the other; lines are cut here and parsed by the workers.
//! Contract, beyond that of every source:
//!
//! * a position is a byte in the decompressed stream ([`lines`]); parcels hold up to 512 lines or about 256 KiB, and one
//!   may hold no record at all (a stretch of blank lines), so that positions have no gaps;
//! * an input that cannot be read (or not to its end) is told as [`PartitionEvent::Failed`] and reading goes on with the next;
//! * a partition resumes only where its proof still holds ([`witness`]); where it does not, or the file is shorter now, it is
//!   read from its start and [`PartitionEvent::Restarted`] says so. Standard input and folders of bodies never resume;
//! * memory is bounded by a few blocks and the longest line allowed;
//! * a raised stop flag ends it at the next read. A read that blocks on standard input is not interrupted: such a
//!   thread may be abandoned.

mod bodies;
pub mod connector;
pub mod inputs;
pub mod lines;
pub mod open;
pub mod witness;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::bodies::Bodies;
use self::inputs::Input;
use self::lines::{Cutter, Limits, Run};
use self::open::{Opened, Stoppable};
use self::witness::{Proofs, Witness};
use super::{EnvelopeDefaults, PartitionEvent, Record, RecordSender, Records, Stopped};
use crate::event::Origin;

/// Where a partition is read on, and the proof that it is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Everything before it is settled.
    pub offset: u64,
    /// What [`Proofs::at_floor`] said of that position.
    pub proof: String,
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
    inputs: Vec<Input>,
    resume: HashMap<String, Resume>,
    options: FileOptions,
    proofs: Proofs,
}

/// Why a partition ends before its end.
enum Halt {
    Stopped,
    Failed(String),
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Halt::Stopped
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Failed(error.to_string())
    }
}

impl FileSource {
    /// A source over paths, globs, folders and `-`; `resume` goes by partition name. Partitions are numbered from 0 in that order.
    pub fn new(specs: &[String], resume: HashMap<String, Resume>, options: FileOptions) -> Self {
        Self {
            inputs: inputs::expand(specs, options.defaults.provider.is_some()),
            resume,
            options,
            proofs: Proofs::default(),
        }
    }

    /// The same source, with the job's own fingerprints in place of new ones.
    pub fn with_fingerprints(self, proofs: Proofs) -> Self {
        Self { proofs, ..self }
    }

    /// The partitions that it will read.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Where the job gets the proof of a settled floor.
    pub fn proofs(&self) -> Proofs {
        self.proofs.clone()
    }

    /// Reads everything; returns at the end of the last input, or when nobody takes parcels any more.
    pub fn run(self, mut feed: RecordSender) -> Result<(), Stopped> {
        for (partition, input) in (0..).zip(&self.inputs) {
            let read = match input {
                Input::Lines(path) => self.file(partition, path, &mut feed),
                Input::Stdin => self.stdin(partition, &mut feed),
                Input::Bodies(folder) => self.bodies(partition, folder, &mut feed),
                Input::Unreadable(_, why) => Err(Halt::Failed(why.clone())),
            };
            self.conclude(partition, input, read, &feed)?;
        }
        Ok(())
    }

    fn conclude(
        &self,
        partition: u32,
        input: &Input,
        read: Result<u64, Halt>,
        feed: &RecordSender,
    ) -> Result<(), Stopped> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        match read {
            Ok(offset) => feed.tell(PartitionEvent::Ended { partition, offset }),
            Err(Halt::Stopped) => Err(Stopped),
            Err(Halt::Failed(why)) => feed.tell(PartitionEvent::Failed {
                partition,
                reason: format!("{} cannot be read: {why}", input.name()),
            }),
        }
    }

    fn file(&self, partition: u32, path: &Path, feed: &mut RecordSender) -> Result<u64, Halt> {
        let name = path.display().to_string();
        let (opened, start, witness) = match self.resume.get(&name) {
            Some(resume) => self.resumed(partition, path, resume, feed)?,
            None => (open::file(path)?, 0, Witness::default()),
        };
        let mut limits = Limits::for_bodies(self.options.body_bytes_max);
        limits.eager = opened.seekable().is_none() && !path.is_file();
        feed.tell(PartitionEvent::Begins {
            partition,
            name,
            offset: start,
            length: opened.length(),
        })?;
        let reader = Stoppable::new(opened.reader, Arc::clone(&self.options.stop));
        self.lines(partition, Cutter::new(reader, limits, start, witness), feed)
    }

    /// Opens a file at the position to resume from, or at its start if it is not the file that was read.
    fn resumed(
        &self,
        partition: u32,
        path: &Path,
        resume: &Resume,
        feed: &RecordSender,
    ) -> Result<(Opened, u64, Witness), Halt> {
        let opened = open::file(path)?;
        let (opened, witness) = wind(opened, resume.offset, &self.options.stop)?;
        let reason = match witness {
            None => "the file is shorter than what was read of it",
            Some(witness) if witness.proof().to_string() == resume.proof => {
                return Ok((opened, resume.offset, witness));
            }
            Some(_) => "the file is not the one that was read",
        };
        feed.tell(PartitionEvent::Restarted {
            partition,
            reason: format!("{}: {reason}; it is read from its start", path.display()),
        })?;
        Ok((open::file(path)?, 0, Witness::default()))
    }

    fn stdin(&self, partition: u32, feed: &mut RecordSender) -> Result<u64, Halt> {
        feed.tell(PartitionEvent::Begins {
            partition,
            name: "-".into(),
            offset: 0,
            length: None,
        })?;
        let reader = Stoppable::new(open::stdin()?.reader, Arc::clone(&self.options.stop));
        let mut limits = Limits::for_bodies(self.options.body_bytes_max);
        limits.eager = true;
        let cutter = Cutter::new(reader, limits, 0, Witness::default());
        self.lines(partition, cutter, feed)
    }

    fn lines(
        &self,
        partition: u32,
        mut cutter: Cutter<impl io::Read>,
        feed: &mut RecordSender,
    ) -> Result<u64, Halt> {
        while let Some(run) = cutter.next_run()? {
            self.proofs.note(partition, run.end, run.proof);
            feed.hand_out(parcel(partition, run))?;
        }
        Ok(cutter.position())
    }

    fn bodies(&self, partition: u32, folder: &Path, feed: &mut RecordSender) -> Result<u64, Halt> {
        let defaults = &self.options.defaults;
        let provider = defaults.provider.clone().unwrap_or_default();
        let bytes_max = self.options.body_bytes_max;
        let bodies = Bodies::list(folder, provider, defaults.user.clone(), bytes_max)?;
        feed.tell(PartitionEvent::Begins {
            partition,
            name: folder.display().to_string(),
            offset: 0,
            length: Some(bodies.count() as u64),
        })?;
        for at in 0..bodies.count() {
            self.body(partition, &bodies, at, feed)?;
        }
        Ok(bodies.count() as u64)
    }

    fn body(
        &self,
        partition: u32,
        bodies: &Bodies,
        at: usize,
        feed: &mut RecordSender,
    ) -> Result<(), Halt> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        let Some(read) = bodies.read(partition, at) else {
            return Ok(());
        };
        let record = Record::Ready(Arc::new(read?));
        feed.hand_out(Records {
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

/// Goes forward to a position; none for the witness if the input is shorter.
fn wind(
    mut opened: Opened,
    offset: u64,
    stop: &Arc<AtomicBool>,
) -> io::Result<(Opened, Option<Witness>)> {
    if let Some(mut file) = opened.seekable() {
        let witness = Witness::of_plain(file, offset)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        opened.restart_reader()?;
        return Ok((opened, witness));
    }
    let mut reader = Stoppable::new(&mut opened.reader, Arc::clone(stop));
    let witness = Witness::of_stream(&mut reader, offset)?;
    Ok((opened, witness))
}

fn parcel(partition: u32, run: Run) -> Records {
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
