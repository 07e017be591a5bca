//! How a job ends: what is done once everything that was read is settled, and what is said of it all.

use super::Job;
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::metrics::Counter;
use crate::observe::summary::Summary;
use crate::runtime::request::Input;
use crate::runtime::running::PolledTables;
use crate::runtime::settlement::SourceReport;
use crate::runtime::{completions, report};
use crate::state::LoadKind;

impl Job {
    /// Everything that was read is settled: late recipients, parked events, deadlines, completions, the last files.
    pub(super) fn conclude(
        mut self,
        source: SourceReport,
        tables: PolledTables,
    ) -> Result<Summary, Fatal> {
        let (ran, used) = (self.started.0.elapsed(), self.usage());
        let finished = if self.stop.is_raised() {
            self.relay_once()
        } else {
            self.finish_stores(tables)
        };
        if let Err(fatal) = finished {
            // A writer that failed is why calls to it fail.
            if let Some(cause) = self.writers.fatal_error.take() {
                return Err(cause);
            }
            if self.is_interrupted(&fatal) {
                return Ok(self.stopped_at_the_end(source));
            }
            return Err(fatal);
        }
        let stopped = self.stop.is_raised();
        let after = match self.before {
            Some(_) => Some(self.sinks().state().call(|store| store.export())?),
            None => None,
        };
        let fatal_error = self.writers.fatal_error.clone();
        // A job that was asked to stop leaves optional work, such as compaction, to the next one.
        if stopped {
            self.writers.stop();
        } else {
            self.writers.drain();
        }
        if let Some(fatal) = fatal_error.take() {
            return Err(fatal);
        }
        if stopped && matches!(self.request.input, Input::Replay(_)) {
            // It begins again at its start: what it found poisonous comes again.
            self.quarantine.close();
        } else {
            self.quarantine.conclude();
        }
        let mut summary = Summary::of(self.name, &self.metrics.snapshot(), ran);
        summary.used(self.started.1, used);
        summary.notes = self.notes;
        report::partitions(&mut summary, source, stopped);
        match self.before.zip(after) {
            Some((before, after)) => report::dry_run(&mut summary, &before, &after),
            None => match report::results(&mut summary, &self.request) {
                Err(fatal) if fatal.exit == Exit::Unfinished => {
                    tracing::warn!(%fatal, "the state store is out: the summary has no batches");
                }
                results => results?,
            },
        }
        drop(self.scratch);
        Ok(summary)
    }

    /// What is done with the stores once all is settled. Given up when the job is asked to stop: the next run does it.
    fn finish_stores(&mut self, tables: PolledTables) -> Result<(), Fatal> {
        self.late_snapshot()?;
        if let Some((mut tables, polls)) = tables {
            let report = polls.poll(&mut tables, |_| {})?;
            self.notes.extend(report.notes());
        }
        self.sweeper().sweep()?;
        self.deadlines()?;
        completions::deliver_all(&self.relay, &self.stop, self.request.plan.max_outage)?;
        Ok(())
    }

    /// One attempt at delivering completions; what it does not deliver stays in the outbox for the next run.
    fn relay_once(&self) -> Result<(), Fatal> {
        if let Err(error) = completions::deliver(&self.relay) {
            tracing::warn!(%error, "completions stay in the outbox for the next run");
        }
        Ok(())
    }

    /// The summary of a job that was asked to stop before it began to read.
    pub(super) fn stopped_before_reading(mut self) -> Summary {
        self.notes.push(report::STOPPED_BEFORE_READING.into());
        self.interrupted_summary()
    }

    /// The summary of a job that was asked to stop after everything it read was settled, in what is done with the stores then.
    fn stopped_at_the_end(self, source: SourceReport) -> Summary {
        let mut summary = self.interrupted_summary();
        report::partitions(&mut summary, source, true);
        summary
    }

    /// The writers are not drained: a call may still be with them that does not end while a store is out.
    fn interrupted_summary(self) -> Summary {
        let mut summary = Summary::of(
            self.name,
            &self.metrics.snapshot(),
            self.started.0.elapsed(),
        );
        summary.notes = self.notes;
        self.quarantine.close();
        self.writers.stop();
        summary
    }

    fn late_snapshot(&mut self) -> Result<(), Fatal> {
        let Some(late) = self.request.snapshot.late.clone() else {
            return Ok(());
        };
        let report = self
            .loader()
            .files(LoadKind::Increment, &[late], None, |_| {})?;
        self.notes.extend(report.notes());
        Ok(())
    }

    fn deadlines(&self) -> Result<(), Fatal> {
        let now = Millis::now();
        let fired = self
            .interruptible_state()
            .call_until_done(move |store| store.judge_deadlines(now))?;
        self.metrics.count(Counter::Completions, fired);
        Ok(())
    }
}
