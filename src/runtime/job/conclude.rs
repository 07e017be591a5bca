//! How a job ends: what is done once everything that was read is settled, and what is said of it all.

use super::Job;
use crate::error::Fatal;
use crate::event::Millis;
use crate::metrics::Counter;
use crate::observe::summary::Summary;
use crate::runtime::running::Tables;
use crate::runtime::settlement::SourceReport;
use crate::runtime::{completions, report};
use crate::state::LoadKind;

impl Job {
    /// Everything that was read is settled: late recipients, parked events, deadlines, completions, the last files.
    pub(super) fn conclude(
        mut self,
        source: SourceReport,
        tables: Tables,
        stopped: bool,
    ) -> Result<Summary, Fatal> {
        let (ran, used) = (self.started.0.elapsed(), self.usage());
        if !stopped {
            self.late_snapshot()?;
            if let Some((mut tables, looks)) = tables {
                let report = looks.make(&mut tables, |_| {})?;
                self.notes.extend(report.notes());
            }
            self.sweeper().sweep()?;
            self.deadlines()?;
        }
        completions::deliver(&self.relay)?;
        let after = match self.before {
            Some(_) => Some(self.sinks().state().call(|store| store.export())?),
            None => None,
        };
        let trouble = self.writers.trouble.clone();
        self.writers.drain();
        if let Some(fatal) = trouble.take() {
            return Err(fatal);
        }
        self.quarantine.conclude();
        let mut summary = Summary::of(self.name, &self.metrics.snapshot(), ran);
        summary.used(self.started.1, used);
        summary.notes = self.notes;
        report::partitions(&mut summary, source, stopped);
        match self.before.zip(after) {
            Some((before, after)) => report::dry_run(&mut summary, &before, &after),
            None => report::results(&mut summary, &self.request)?,
        }
        drop(self.scratch);
        Ok(summary)
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
            .sinks()
            .state()
            .call_until_done(move |store| store.judge_deadlines(now))?;
        self.metrics.count(Counter::Completions, fired);
        Ok(())
    }
}
