//! What is kept of messages in work, in the job's state store: for the guard against messages that end the process.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::sink::writer::StateHandle;
use crate::source::attempt::LaneAttempt;
use crate::source::guard::{Answer, AttemptStore};

/// Rows of one job in its state store. A store that is out of order answers when it is well again.
pub struct KeptAttempts {
    state: StateHandle,
    job: String,
    answer: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl KeptAttempts {
    /// The rows of that job.
    pub fn new(state: StateHandle, job: &str) -> Self {
        let (answer, answers) = crossbeam_channel::unbounded();
        Self {
            state,
            job: job.to_owned(),
            answer,
            answers,
        }
    }
}

impl std::fmt::Debug for KeptAttempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptAttempts").finish_non_exhaustive()
    }
}

impl AttemptStore for KeptAttempts {
    fn read(&mut self) {
        let (job, answer) = (self.job.clone(), self.answer.clone());
        self.state.call_later(
            move |store| store.attempts(&job),
            move |rows| answer.send(Answer::Kept(rows)).unwrap_or_default(),
        );
    }

    fn write(&mut self, rows: Vec<LaneAttempt>) {
        let (job, answer) = (self.job.clone(), self.answer.clone());
        self.state.call_later(
            move |store| store.note_attempts(&job, &rows),
            move |()| answer.send(Answer::Written).unwrap_or_default(),
        );
    }

    fn answer(&mut self, wait: Duration) -> Option<Answer> {
        match wait.is_zero() {
            true => self.answers.try_recv().ok(),
            false => self.answers.recv_timeout(wait).ok(),
        }
    }
}
