//! The last word: a small file in the member's folder that says whether the end of its process may be held against the messages
//! that were in work (see the [guard](crate::source::guard)).
//!
//! The state store is told of an end where it can be told. Where it is what is out of order, this file must do, so it
//! is written without it: `in work` before the first message is handed out, and `told` as soon as the process knows of something else that ends
//! it, or for which it may be ended: it was asked to stop, a sink is out, it stands still, it panicked. The next start in the same folder
//! reads the file, before it hands anything out. A folder that is not kept says nothing, and then an end of which the store was not told
//! counts as a death.
//!
//! The file is made at a time when there is room for it, and then only ever written over: on a disk that is full that still works.
//! Where it cannot be written the job goes on without it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failpoint::{self, Failpoint};

const IN_WORK: &[u8] = b"in work\n";
const TOLD: &[u8] = b"told   \n";

/// What this process would say last, if it panicked.
static LAST: Mutex<Option<Word>> = Mutex::new(None);

/// Why an end is not the messages' doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// A sink is out of order, and somebody may lose patience.
    Outage,
    /// The process was asked to end, or ends by itself.
    Ending,
}

/// The word of a member. Clones are the same.
#[derive(Clone, Debug)]
pub struct Word(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The process before was ended by something else than its messages.
    told_before: bool,
    /// Messages were handed out.
    begun: bool,
    outage: bool,
    ending: bool,
    /// What the file says, as far as that is known.
    says: Option<&'static [u8]>,
}

impl Word {
    /// The word of whoever bears that name (the job, and which part of it is this member's), in a folder.
    pub fn open(folder: &Path, name: &str) -> Self {
        let mut hash = blake3::hash(name.as_bytes()).to_hex().to_string();
        hash.truncate(12);
        let path = folder.join(format!("last-word-{hash}"));
        if let Err(error) = failpoint::create_dir_all(folder) {
            tracing::warn!(%error, "there is no folder for the last word");
        }
        let said =
            failpoint::open(Failpoint::StoreAttempts, &path).and_then(std::io::read_to_string);
        Self(Arc::new(Mutex::new(Inner {
            path,
            told_before: said.is_ok_and(|said| said.as_bytes() == TOLD),
            begun: false,
            outage: false,
            ending: false,
            says: None,
        })))
    }

    /// From now on the word is left also by a panic.
    pub fn remember(&self) {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(self.clone());
    }

    /// Whether what the process before left open is not to be held against its messages; until this one begins.
    pub fn was_told(&self) -> bool {
        self.with(|inner| inner.told_before && !inner.begun)
    }

    /// Messages are about to be handed out.
    pub fn begin(&self) {
        self.with(|inner| {
            inner.begun = true;
            inner.say();
        });
    }

    /// There is, or is no more, another reason to end.
    pub fn excuse(&self, excuse: Excuse, holds: bool) {
        self.with(|inner| {
            match excuse {
                Excuse::Outage => inner.outage = holds,
                Excuse::Ending => inner.ending = holds,
            }
            inner.say();
        });
    }

    fn with<T>(&self, call: impl FnOnce(&mut Inner) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// Before anything is handed out what the process before said still stands.
    fn say(&mut self) {
        let word = match self.outage || self.ending {
            true => TOLD,
            false => IN_WORK,
        };
        if !self.begun || self.says == Some(word) {
            return;
        }
        self.says = Some(word);
        if let Err(error) = failpoint::overwrite(Failpoint::StoreAttempts, &self.path, word) {
            tracing::warn!(%error, "the last word cannot be written");
        }
    }
}

/// Says, in a panic, that the process ends by itself; nothing where the panic came while the word was being said.
pub fn leave() {
    let Ok(last) = LAST.try_lock() else { return };
    let inner = last.as_ref().map(|word| word.0.try_lock());
    if let Some(Ok(mut inner)) = inner {
        inner.ending = true;
        inner.say();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_start_knows_what_was_said_and_a_start_that_begins_nothing_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Word::open(&folder.path().join("made"), "a job");
        let word = open();
        assert!(!word.was_told(), "nobody said anything");
        word.excuse(Excuse::Ending, true);
        assert!(!open().was_told(), "nothing was handed out");
        word.begin();
        assert!(open().was_told(), "it was to end already");

        let next = open();
        next.begin();
        assert!(!next.was_told(), "what was said is over");
        assert!(!open().was_told(), "this one died");
        open().excuse(Excuse::Ending, true);
        assert!(
            !open().was_told(),
            "it did not begin, and could not undo that"
        );
        next.excuse(Excuse::Ending, true);
        assert!(open().was_told());
        assert!(!Word::open(folder.path(), "a job").was_told());
    }

    #[test]
    fn an_outage_is_an_excuse_while_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let word = Word::open(folder.path(), "a job");
        word.begin();
        for (holds, told) in [(true, true), (false, false), (true, true)] {
            word.excuse(Excuse::Outage, holds);
            assert_eq!(Word::open(folder.path(), "a job").was_told(), told);
        }
        word.excuse(Excuse::Ending, true);
        word.excuse(Excuse::Outage, false);
        assert!(Word::open(folder.path(), "a job").was_told());
        assert!(!Word::open(folder.path(), "another").was_told());
    }
}
