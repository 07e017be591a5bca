//! What is kept of messages in work, in the job's state store: for the guard against messages that end the process.
//!
//! Beside the rows stands the member's last [`Word`]. What it excuses is made good in the store before a partition begins: the row then
//! says what it would say if the store had been told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::report;
use super::request::{Input, JobRequest, Sinks};
use super::word::{Excuse, Word};
use crate::error::SinkError;
use crate::sink::writer::StateHandle;
use crate::source::attempt::PartitionAttempt;
use crate::source::guard::{Answer, AttemptStore};
use crate::state::StateStore;

/// The rows of one job, as far as this process works with them.
#[derive(Clone)]
pub struct Attempts {
    state: StateHandle,
    job: String,
    word: Word,
    asked: Arc<Mutex<Asked>>,
}

/// What the store was asked to keep.
#[derive(Default)]
struct Asked {
    /// The partitions in work.
    in_work: BTreeMap<String, PartitionAttempt>,
    /// Nothing more is asked for: the process ends.
    over: bool,
}

impl Attempts {
    /// The rows of a job of that name, in that store; none unless it reads a broker's messages as they come, and stores what comes of them.
    pub fn of(request: &JobRequest, job: &str, state: StateHandle) -> Option<Self> {
        let is_live = matches!(request.input, Input::Live { .. });
        let live = is_live && request.plan.live.is_broker();
        (live && request.sinks == Sinks::Durable).then(|| {
            let word = Word::open(&request.plan.store_dir, &report::part(request, job));
            word.remember();
            Self {
                state,
                job: job.to_owned(),
                word,
                asked: Arc::default(),
            }
        })
    }

    /// The guard's way to them.
    pub fn store(&self) -> Box<dyn AttemptStore> {
        let (answer, answers) = crossbeam_channel::unbounded();
        Box::new(KeptAttempts {
            all: self.clone(),
            answer,
            answers,
        })
    }

    /// Leaves word that whatever ends the process from now on is not the messages' doing, or that this is over.
    pub fn excuse(&self, excuse: Excuse, holds: bool) {
        self.word.excuse(excuse, holds);
    }

    /// The process ends by itself: leaves word, and tells the store if it takes it within that time. Nothing more is handed out.
    pub fn end(&self, wait: Duration) {
        self.excuse(Excuse::Ending, true);
        let mut asked = self.asked();
        asked.over = true;
        let mut rows: Vec<_> = std::mem::take(&mut asked.in_work).into_values().collect();
        drop(asked);
        if rows.is_empty() {
            return;
        }
        rows.iter_mut().for_each(PartitionAttempt::told);
        if !self.is_told(rows, wait) {
            tracing::warn!("the state store could not be told that the process ends by itself");
        }
    }

    /// A writer whose queue is full would be waited for without an end, so that is left to another thread.
    fn is_told(&self, rows: Vec<PartitionAttempt>, wait: Duration) -> bool {
        let (told, done) = crossbeam_channel::bounded(1);
        let (state, job) = (self.state.clone(), self.job.clone());
        let tell = move || {
            state.call_later(
                move |store| store.note_attempts(&job, &rows),
                move |()| told.send(()).unwrap_or_default(),
            );
        };
        let thread = std::thread::Builder::new().name("last note".into());
        thread.spawn(tell).is_ok() && done.recv_timeout(wait).is_ok()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of the job; those of partitions that begin as they are after what the process before said.
    fn rows(
        &self,
        store: &mut dyn StateStore,
        partitions: &[String],
    ) -> Result<Vec<PartitionAttempt>, SinkError> {
        let mut rows = store.attempts(&self.job)?;
        if !self.word.was_told() {
            return Ok(rows);
        }
        let mut excused = Vec::new();
        for row in rows
            .iter_mut()
            .filter(|row| row.running && partitions.contains(&row.partition))
        {
            row.told();
            excused.push(row.clone());
        }
        if !excused.is_empty() {
            store.note_attempts(&self.job, &excused)?;
            tracing::info!(
                partitions = excused.len(),
                "the process ended by itself, not over its messages"
            );
        }
        Ok(rows)
    }
}

impl Asked {
    /// Takes note of rows; false if it is too late for them.
    fn take(&mut self, rows: &[PartitionAttempt]) -> bool {
        if self.over {
            return false;
        }
        for row in rows {
            match row.running {
                true => self.in_work.insert(row.partition.clone(), row.clone()),
                false => self.in_work.remove(&row.partition),
            };
        }
        true
    }
}

/// The same for one guard. A store that is out of order answers when it is well again.
struct KeptAttempts {
    all: Attempts,
    answer: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl std::fmt::Debug for KeptAttempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptAttempts").finish_non_exhaustive()
    }
}

impl AttemptStore for KeptAttempts {
    fn read(&mut self, partitions: Vec<String>) {
        let (all, answer) = (self.all.clone(), self.answer.clone());
        self.all.state.call_later(
            move |store| all.rows(store, &partitions),
            move |rows| answer.send(Answer::Kept(rows)).unwrap_or_default(),
        );
    }

    fn write(&mut self, rows: Vec<PartitionAttempt>) {
        if !self.all.asked().take(&rows) {
            return;
        }
        let begins = rows.iter().any(|row| row.running);
        let (job, word, answer) = (
            self.all.job.clone(),
            self.all.word.clone(),
            self.answer.clone(),
        );
        self.all.state.call_later(
            move |store| store.note_attempts(&job, &rows),
            move |()| {
                if begins {
                    word.begin();
                }
                answer.send(Answer::Written).unwrap_or_default();
            },
        );
    }

    fn answer(&mut self, wait: Duration) -> Option<Answer> {
        match wait.is_zero() {
            true => self.answers.try_recv().ok(),
            false => self.answers.recv_timeout(wait).ok(),
        }
    }
}
