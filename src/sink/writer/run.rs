//! The loop of a writer's thread.

use crossbeam_channel::{Receiver, TryRecvError};

use super::attempts::{AttemptControl, WriterStop};
use super::job::{Call, RowResult, WriteGroup, WriteJob, WriterMessage};
use super::target::Target;
use crate::error::{Class, Fatal, SinkError};
use crate::event::Reject;
use crate::sink::bisect::{Bisected, bisect};

/// The verdict of each row, and the dead letters of those that were refused.
type Written<A> = (Vec<RowResult<A>>, Vec<Reject>);

pub(super) struct Writer<T: Target> {
    target: T,
    control: AttemptControl,
    queue: Receiver<WriterMessage<T>>,
    rows_max: usize,
    /// What was taken from the queue and did not fit into a group.
    held: Option<WriterMessage<T>>,
}

impl<T: Target> Writer<T> {
    pub(super) const fn new(
        target: T,
        control: AttemptControl,
        queue: Receiver<WriterMessage<T>>,
        rows_max: usize,
    ) -> Self {
        Self {
            target,
            control,
            queue,
            rows_max,
            held: None,
        }
    }

    pub(super) fn run(mut self, on_fatal: impl FnOnce(Fatal)) {
        match self.serve() {
            Ok(()) => self.finish(),
            Err(WriterStop::Stopped) => {}
            Err(WriterStop::Fatal(fatal)) => on_fatal(fatal),
        }
    }

    fn serve(&mut self) -> Result<(), WriterStop> {
        loop {
            match self.next()? {
                WriterMessage::WriteJob(job) => {
                    let batch = self.gather(job);
                    self.commit(batch)?;
                }
                WriterMessage::Call(call) => self.call(call)?,
                WriterMessage::End => return Ok(()),
            }
        }
    }

    /// The next message; a queue that nobody can fill any more ends like one that was closed.
    fn next(&mut self) -> Result<WriterMessage<T>, WriterStop> {
        if self.control.stopped().try_recv().is_ok() {
            return Err(WriterStop::Stopped);
        }
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        crossbeam_channel::select! {
            recv(self.queue) -> message => Ok(message.unwrap_or(WriterMessage::End)),
            recv(self.control.stopped()) -> stop => match stop {
                Ok(()) => Err(WriterStop::Stopped),
                Err(_) => Ok(self.queue.recv().unwrap_or(WriterMessage::End)),
            },
        }
    }

    /// Everything that waits behind that job and fits, up to the first message that is none.
    fn gather(&mut self, job: WriteJob<T>) -> WriteGroup<T> {
        self.control.status().unqueued(job.rows());
        let mut batch = WriteGroup::of(job);
        while batch.rows.len() < self.rows_max {
            match self.queue.try_recv() {
                Ok(WriterMessage::WriteJob(job))
                    if batch.rows.len() + job.rows() <= self.rows_max =>
                {
                    self.control.status().unqueued(job.rows());
                    batch.add(job);
                }
                Ok(other) => {
                    self.held = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        batch
    }

    /// Writes a batch, stores refused rows as dead letters, and only then answers.
    fn commit(&mut self, batch: WriteGroup<T>) -> Result<(), WriterStop> {
        if !batch.is_whole() {
            let error = SinkError::new("writer", Class::Bug, "a row has no context");
            return Err(WriterStop::Fatal(error.into()));
        }
        self.control.status().holds(batch.rows.len());
        let (results, rejects) = self.write(&batch)?;
        if !rejects.is_empty() {
            self.until_done(|target| target.write_dead_letters(&rejects))?;
            self.control.status().dead_lettered(rejects.len());
        }
        self.control.status().holds(0);
        batch.answer(results);
        Ok(())
    }

    /// Writes until each row is durable or known to be refused.
    fn write(&mut self, batch: &WriteGroup<T>) -> Result<Written<T::Answer>, WriterStop> {
        let mut results = Vec::with_capacity(batch.rows.len());
        let mut rejects = Vec::new();
        while results.len() < batch.rows.len() {
            let from = results.len();
            let to = batch.rows.len().min(from + self.control.rows_now());
            let rows = batch.rows.get(from..to).unwrap_or_default();
            let (target, control) = (&mut self.target, &self.control);
            let mut part = bisect(rows, |rows| control.attempt(|| write_checked(target, rows)));
            let error = part.error.take();
            rejects.extend(part.culprits.iter().filter_map(|(row, error)| {
                let context = batch.contexts.get(from + row)?;
                let reject = T::reject(batch.rows.get(from + row)?, context, error);
                log_refused(self.control.status().name(), &reject, error);
                Some(reject)
            }));
            self.settle(part, &mut results);
            if let Some(error) = error {
                self.control.failed(error)?;
            }
        }
        Ok((results, rejects))
    }

    /// Notes what a part achieved: the verdict of each row that is done, in order.
    fn settle(&mut self, part: Bisected<Vec<T::Answer>>, results: &mut Vec<RowResult<T::Answer>>) {
        if part.done > 0 {
            self.control.succeeded();
        }
        let from = results.len();
        let (batches, culprits) = (part.good.len(), part.culprits.len());
        self.control.status().wrote(batches, part.done - culprits);
        for (range, answers) in part.good {
            results.resize_with(from + range.start, || RowResult::DeadLetter);
            results.extend(answers.into_iter().map(RowResult::Done));
        }
        results.resize_with(from + part.done, || RowResult::DeadLetter);
    }

    fn call(&mut self, mut call: Call<T>) -> Result<(), WriterStop> {
        self.until_done(|target| call(target))
    }

    fn until_done(
        &mut self,
        mut call: impl FnMut(&mut T) -> Result<(), SinkError>,
    ) -> Result<(), WriterStop> {
        loop {
            let target = &mut self.target;
            match self.control.attempt(|| call(target)) {
                Ok(()) => {
                    self.control.succeeded();
                    return Ok(());
                }
                Err(error) => self.control.failed(error)?,
            }
        }
    }

    fn finish(&mut self) {
        let target = &mut self.target;
        if let Err(error) = self.control.attempt(|| target.finish()) {
            tracing::warn!(sink = self.control.status().name(), %error, "drain left work undone");
            self.control.status().failed(error.to_string());
        }
    }
}

/// Logs a row that the sink refused.
fn log_refused(sink: &str, reject: &Reject, error: &SinkError) {
    tracing::warn!(sink, delivery = %reject.origin, index = reject.index, %error, "row refused by the sink");
}

/// A sink that answers for more or fewer rows than it was given is broken.
fn write_checked<T: Target>(target: &mut T, rows: &[T::Row]) -> Result<Vec<T::Answer>, SinkError> {
    let answers = target.write(rows)?;
    if answers.len() == rows.len() {
        return Ok(answers);
    }
    let message = format!("{} answers for {} rows", answers.len(), rows.len());
    Err(SinkError::new("writer", Class::Bug, message))
}
