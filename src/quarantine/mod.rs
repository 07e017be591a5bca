//! Poison quarantine: a record that kills the process (out of memory, an abort, a stack that overflows) becomes a dead letter, and no
//! other record is blamed.
//!
//! It works for every source and needs no database. In the member's folder lie two small files: the breadcrumb file, in which each
//! worker names the records that it is decoding, and the suspects with their counts.
//!
//! 1. **A crash makes suspects.** A slot that is still set when the process starts means that its last life crashed. Every record that
//!    a slot names is a suspect from then on. That alone blames nobody.
//! 2. **Suspects are decoded alone**, one by one, each with a slot of its own that bears a hash of its bytes. No worker decodes anything
//!    else meanwhile, and nothing that was decoded before is on its way to the writers. The slot stays until the record's rows are
//!    handed to the writers; it is never set while a sink is waited for. Recipients are loaded by then, since no row
//!    gets to the writers before.
//! 3. **A dead letter** is what was named in three crashes, at least two of them while it was decoded alone, with the same bytes. A crash while
//!    its rows are on their way is weaker evidence, since a kill from outside is likely to fall there: it takes three of these. Of several
//!    suspects those go first that were named alone least, so that repeated kills hit another one each time.
//! 4. **Getting through clears** a suspect.
//!
//! **Restarts.** A worker names at most [`PLACES_MAX`] records at once, each by its offset, so the record that kills is among the named
//! ones in the first crash, and alone in every further one: three crashes for one member (four if it dies after decoding), whatever else was named. In a fleet each member
//! counts for itself: at most three times as many crashes as there are members. The price is paid after a crash: the suspects
//! of a worker take about a tick of the clock each, together less than a second.
//!
//! **What counts as a crash**: SIGKILL, an abort, the out-of-memory killer, and a panic of a worker. The watchdog, exit 75, a
//! signal and a panic of any other thread clear the slots; from the first signal on nothing is named any more.
//!
//! **Conditions.** The folder must survive restarts (`store.dir_kept`). A death after decoding, in a writer or in a driver, is not seen
//! until the record is a suspect. A second signal within a tenth of a second of the first one comes before the slots are cleared.
//! Members may share a folder: each locks a pair of files of its own.

mod breadcrumbs;
mod suspects;
#[cfg(test)]
mod tests;
mod worker;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failpoint::{self, Failpoint};
use breadcrumbs::Breadcrumbs;
pub use breadcrumbs::PLACES_MAX;
use suspects::Suspects;
pub use suspects::{ALONE, NAMED};
pub use worker::{Received, WorkerQuarantine};

/// So many members may share a folder.
const MEMBERS_MAX: u32 = 256;
/// No worker decodes alone.
const NOBODY: usize = usize::MAX;

/// The quarantine of this process, for the panic hook.
static CURRENT: Mutex<Option<Quarantine>> = Mutex::new(None);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The quarantine of a member; clones are the same.
#[derive(Clone, Debug)]
pub struct Quarantine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None where nothing is kept.
    files: Option<Files>,
    suspects: Mutex<Suspects>,
    /// Whether there are suspects: without any, no lookup is needed.
    has_suspects: AtomicBool,
    /// Whether the last life of this member ended with a crash.
    is_after_crash: bool,
    /// The worker that decodes alone, or is about to.
    alone: AtomicUsize,
    /// Runs that workers received and have not decoded to their end.
    undecoded: AtomicUsize,
    /// Messages that were decoded alone only because a broker delivered them again and again.
    repeated_alone: AtomicUsize,
}

#[derive(Debug)]
struct Files {
    breadcrumbs: Breadcrumbs,
    suspects: PathBuf,
}

impl Quarantine {
    /// A quarantine that keeps nothing and suspects nobody.
    pub fn off() -> Self {
        Self::with(None, Suspects::default())
    }

    /// The quarantine of the member of that name, with its files in `folder`. Where these cannot be used the job goes on without.
    pub fn open(folder: &Path, name: &str, workers: usize) -> Self {
        match Self::try_open(folder, name, workers) {
            Ok(quarantine) => quarantine,
            Err(error) => {
                tracing::warn!(%error, "there is no breadcrumb file: a message that kills the process is not found");
                Self::off()
            }
        }
    }

    fn try_open(folder: &Path, name: &str, workers: usize) -> io::Result<Self> {
        failpoint::create_dir_all(folder)?;
        let (mut file, path) = lock_file(folder, name)?;
        let mut slots = Vec::new();
        file.read_to_end(&mut slots)?;
        let suspects_path = path.with_extension("suspects");
        let mut suspects = read_suspects(&suspects_path)?;
        let (life, found) = breadcrumbs::read(&slots, suspects.judged());
        suspects.judge(life, &found);
        store_suspects(&suspects_path, &suspects)?;
        if !found.is_empty() {
            tracing::warn!(
                suspects = suspects.len(),
                "the process died while it was decoding: what it was decoding is decoded alone now"
            );
        }
        let breadcrumbs = Breadcrumbs::new(file, life + 1, workers);
        let files = Files {
            breadcrumbs,
            suspects: suspects_path,
        };
        Ok(Self::with(Some(files), suspects))
    }

    fn with(files: Option<Files>, suspects: Suspects) -> Self {
        #[cfg(feature = "faults")]
        let suspects = {
            use crate::failpoint::faults::{Wrong, wrong};
            suspects.blaming_by_presence(wrong(Wrong::BlameByPresence))
        };
        Self(Arc::new(Shared {
            files,
            has_suspects: AtomicBool::new(!suspects.is_empty()),
            is_after_crash: suspects.is_after_crash(),
            suspects: Mutex::new(suspects),
            alone: AtomicUsize::new(NOBODY),
            undecoded: AtomicUsize::new(0),
            repeated_alone: AtomicUsize::new(0),
        }))
    }

    /// How many records are suspected.
    pub fn suspects(&self) -> usize {
        self.0.suspects().len()
    }

    /// From now on a panic of any thread but a worker clears the slots.
    pub fn watch_panics(&self) {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(self.clone());
    }

    /// The process ends by itself, or may be ended for something that is no record's doing: nothing is named any more.
    pub fn close(&self) {
        if let Some(files) = &self.0.files {
            files.breadcrumbs.close();
        }
    }

    /// Everything that was read is durable. What became a dead letter is forgotten, so that a later job may try it again.
    pub fn conclude(&self) {
        self.close();
        let mut suspects = self.0.suspects();
        suspects.forget_dead_letters();
        self.0.store(&suspects);
    }
}

impl Shared {
    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self, place: suspects::RecordPosition) {
        let mut suspects = self.suspects();
        if suspects.clear(place) {
            self.has_suspects
                .store(!suspects.is_empty(), Ordering::Release);
            self.store(&suspects);
        }
    }

    fn store(&self, suspects: &Suspects) {
        let Some(files) = &self.files else { return };
        if let Err(error) = store_suspects(&files.suspects, suspects) {
            tracing::warn!(%error, "the suspects of the poison quarantine cannot be stored");
        }
    }
}

/// To be called by the panic hook. A panic of a worker is a crash like any other; one of another thread blames no record.
pub fn on_panic() {
    if IS_WORKER.get() {
        return;
    }
    if let Ok(current) = CURRENT.try_lock()
        && let Some(quarantine) = &*current
    {
        quarantine.close();
    }
}

/// Opens the first breadcrumb file of that name that no other member has locked. The lock ends with the process.
fn lock_file(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let mut hash = blake3::hash(name.as_bytes()).to_hex().to_string();
    hash.truncate(12);
    for member in 0..MEMBERS_MAX {
        let path = folder.join(format!("quarantine-{hash}-{member}.slots"));
        let file = failpoint::open_shared(Failpoint::QuarantineOpen, &path)?;
        if file.try_lock().is_ok() {
            return Ok((file, path));
        }
    }
    Err(io::Error::other("too many members share this folder"))
}

fn read_suspects(path: &Path) -> io::Result<Suspects> {
    let mut bytes = Vec::new();
    match failpoint::open(Failpoint::QuarantineOpen, path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(Suspects::decode(&bytes))
}

/// Replaces the file at once: whoever reads it finds the old suspects or the new ones.
fn store_suspects(path: &Path, suspects: &Suspects) -> io::Result<()> {
    let temporary = path.with_extension("suspects.tmp");
    let mut file = failpoint::create(Failpoint::QuarantineStore, &temporary)?;
    failpoint::write_all(Failpoint::QuarantineStore, &mut file, &suspects.encode())?;
    failpoint::rename(Failpoint::QuarantineStore, &temporary, path)
}
