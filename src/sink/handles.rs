//! A worker's way to the writers: how batches are handed in, and what is done with the answers.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::operator::{WriteAck, WriteSettings};
use super::rows::StateRow;
use super::writer::{
    self, LogTarget, Reply, RowResult, StateHandle, StateTarget, Target, WriteJob, WriterHandle,
};
use crate::dedup::Forgotten;
use crate::epoch::Clock;
use crate::event::Reject;
#[cfg(feature = "faults")]
use crate::failpoint::faults::{Wrong, wrong};
use crate::key::Identity;
use crate::log::{LogPace, LogRow};
use crate::metrics::{Counter, WorkerMetrics};
use crate::state::Outcome;
use crate::window::WindowLimits;

/// Batches of one worker that a writer may hold at once: one being written, one waiting.
pub const CONCURRENT: usize = 2;

/// What the state writer says of a batch.
#[derive(Debug, Default)]
pub struct StateSummary {
    applied: u64,
    duplicates: u64,
    unmatched: u64,
    logged_only: u64,
    dead: Vec<Identity>,
}

impl StateSummary {
    fn of(identities: &[Identity], results: &[RowResult<Outcome>]) -> Self {
        let mut answer = Self::default();
        for (identity, verdict) in identities.iter().zip(results) {
            match verdict {
                RowResult::Done(Outcome::Applied) => answer.applied += 1,
                RowResult::Done(Outcome::Duplicate) => answer.duplicates += 1,
                RowResult::Done(Outcome::Unmatched) => answer.unmatched += 1,
                RowResult::Done(Outcome::LoggedOnly) => answer.logged_only += 1,
                RowResult::DeadLetter => answer.dead.push(*identity),
            }
        }
        answer
    }
}

/// What the log writer says of a batch: the identities that it refused.
pub type LogSummary = Vec<Identity>;

/// What the state writer says of dead letters: nothing, they are durable.
pub type RejectSummary = ();

/// One worker's way to the writers.
pub struct SinkHandles {
    /// The state store's writer.
    pub state: WriterHandle<StateTarget>,
    /// The log's.
    pub log: WriterHandle<LogTarget>,
    /// What the log asks of its windows.
    pub pace: LogPace,
    /// Monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Whether the source stands at its in-flight limit.
    pub pressed: Arc<AtomicBool>,
    /// Where the identities of dead letters are left for dedup.
    pub forgotten: Forgotten,
    /// The worker's counts.
    pub counts: WorkerMetrics,
}

impl SinkHandles {
    /// How the worker writes state.
    pub fn state(&self, limits: WindowLimits) -> WriteSettings<StateRow, StateSummary> {
        let writer = self.state.clone();
        let (counts, forgotten) = (Rc::clone(&self.counts), Rc::clone(&self.forgotten));
        let submit = move |rows: Vec<StateRow>, answer: WriteAck<StateSummary>| {
            let identities: Vec<Identity> = rows.iter().map(|(event, _)| event.identity).collect();
            let (events, contexts) = rows.into_iter().unzip();
            let reply = Reply::call(move |results| {
                answer.complete(StateSummary::of(&identities, &results));
            });
            hand_in(&writer, WriteJob::new(events, contexts, reply));
        };
        let answered = move |answer: StateSummary| {
            let mut counts = counts.borrow_mut();
            counts.count(Counter::Applied, answer.applied);
            counts.count(Counter::DuplicateStore, answer.duplicates);
            counts.count(Counter::Unmatched, answer.unmatched);
            counts.count(Counter::LoggedOnly, answer.logged_only);
            forgotten.borrow_mut().extend(answer.dead);
        };
        self.settings(
            "WriteState",
            limits,
            |(event, _)| event.weight(),
            submit,
            answered,
        )
    }

    /// How the worker writes the log.
    pub fn log(&self, limits: WindowLimits) -> WriteSettings<LogRow, LogSummary> {
        let writer = self.log.clone();
        let forgotten = Rc::clone(&self.forgotten);
        let submit = move |rows: Vec<LogRow>, answer: WriteAck<LogSummary>| {
            #[cfg(feature = "faults")]
            if wrong(Wrong::AcknowledgeBeforeLog) {
                answer.complete(LogSummary::default());
                return hand_in(&writer, WriteJob::log(rows, Reply::call(drop)));
            }
            let identities: Vec<Identity> = rows.iter().map(|row| row.event.identity).collect();
            let reply = Reply::call(move |results| {
                let refused = writer::refused(&results).into_iter();
                answer.complete(
                    refused
                        .filter_map(|row| identities.get(row).copied())
                        .collect(),
                );
            });
            hand_in(&writer, WriteJob::log(rows, reply));
        };
        let answered = move |refused: LogSummary| forgotten.borrow_mut().extend(refused);
        let settings = self.settings("WriteLog", limits, LogRow::weight, submit, answered);
        WriteSettings {
            pace: self.pace.clone(),
            ..settings
        }
    }

    /// How the worker writes dead letters.
    pub fn rejects(&self, limits: WindowLimits) -> WriteSettings<Reject, RejectSummary> {
        let state = StateHandle::new(self.state.clone());
        let submit = move |rejects: Vec<Reject>, answer: WriteAck<RejectSummary>| {
            state.write_dead_letters(rejects, move || answer.complete(()));
        };
        self.settings("WriteRejects", limits, Reject::weight, submit, |()| {})
    }

    fn settings<T, A>(
        &self,
        name: &'static str,
        limits: WindowLimits,
        weigh: fn(&T) -> usize,
        submit: impl FnMut(Vec<T>, WriteAck<A>) + 'static,
        answered: impl FnMut(A) + 'static,
    ) -> WriteSettings<T, A> {
        WriteSettings {
            name,
            limits,
            concurrent_max: CONCURRENT,
            weigh,
            submit: Box::new(submit),
            answered: Box::new(answered),
            pressed: Arc::clone(&self.pressed),
            pace: LogPace::default(),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Hands a job to its writer. The queue holds all that the workers may have under way, so there is room; a writer that
/// has ended takes nothing any more, and the job that never gets its answer keeps its positions open, as it must.
fn hand_in<T: Target>(writer: &WriterHandle<T>, job: WriteJob<T>) {
    if !writer.submit(job) {
        tracing::debug!("a batch came after its writer had ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_is_counted_once_and_culprits_are_named() {
        let identities: Vec<Identity> = (0..5).map(Identity).collect();
        let results = [
            RowResult::Done(Outcome::Applied),
            RowResult::DeadLetter,
            RowResult::Done(Outcome::Duplicate),
            RowResult::Done(Outcome::Unmatched),
            RowResult::Done(Outcome::LoggedOnly),
        ];
        let answer = StateSummary::of(&identities, &results);
        assert_eq!(
            (
                answer.applied,
                answer.duplicates,
                answer.unmatched,
                answer.logged_only
            ),
            (1, 1, 1, 1)
        );
        assert_eq!(answer.dead, [Identity(1)]);
    }
}
