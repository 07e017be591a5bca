//! The loop of a writer's thread.

use crossbeam_channel::{Receiver, TryRecvError};

use super::gate::{Gate, Halt};
use super::job::{Batch, Call, Job, Message, Verdict};
use super::target::Target;
use crate::error::{Class, Fatal, SinkError};
use crate::event::Reject;
use crate::sink::bisect::{Bisected, bisect};

/// The verdict of each row, and the dead letters of those that were refused.
type Written<A> = (Vec<Verdict<A>>, Vec<Reject>);

pub(super) struct Writer<T: Target> {
    target: T,
    gate: Gate,
    queue: Receiver<Message<T>>,
    rows_max: usize,
    /// What was taken from the queue and did not fit into a group.
    held: Option<Message<T>>,
}

impl<T: Target> Writer<T> {
    pub(super) const fn new(
        target: T,
        gate: Gate,
        queue: Receiver<Message<T>>,
        rows_max: usize,
    ) -> Self {
        Self {
            target,
            gate,
            queue,
            rows_max,
            held: None,
        }
    }

    pub(super) fn run(mut self, on_fatal: impl FnOnce(Fatal)) {
        match self.serve() {
            Ok(()) => self.finish(),
            Err(Halt::Stopped) => {}
            Err(Halt::Fatal(fatal)) => on_fatal(fatal),
        }
    }

    fn serve(&mut self) -> Result<(), Halt> {
        loop {
            match self.next()? {
                Message::Job(job) => {
                    let batch = self.gather(job);
                    self.commit(batch)?;
                }
                Message::Call(call) => self.call(call)?,
                Message::End => return Ok(()),
            }
        }
    }

    /// The next message; a queue that nobody can fill any more ends like one that was closed.
    fn next(&mut self) -> Result<Message<T>, Halt> {
        if self.gate.stopped().try_recv().is_ok() {
            return Err(Halt::Stopped);
        }
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        crossbeam_channel::select! {
            recv(self.queue) -> message => Ok(message.unwrap_or(Message::End)),
            recv(self.gate.stopped()) -> stop => match stop {
                Ok(()) => Err(Halt::Stopped),
                Err(_) => Ok(self.queue.recv().unwrap_or(Message::End)),
            },
        }
    }

    /// Everything that waits behind that job and fits, up to the first message that is none.
    fn gather(&mut self, job: Job<T>) -> Batch<T> {
        self.gate.status().unqueued(job.rows());
        let mut batch = Batch::of(job);
        while batch.rows.len() < self.rows_max {
            match self.queue.try_recv() {
                Ok(Message::Job(job)) if batch.rows.len() + job.rows() <= self.rows_max => {
                    self.gate.status().unqueued(job.rows());
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

    /// Writes a batch, buries what is refused, and only then answers.
    fn commit(&mut self, batch: Batch<T>) -> Result<(), Halt> {
        if !batch.is_whole() {
            let error = SinkError::new("writer", Class::Bug, "a row has no carrier");
            return Err(Halt::Fatal(error.into()));
        }
        self.gate.status().holds(batch.rows.len());
        let (verdicts, rejects) = self.write(&batch)?;
        if !rejects.is_empty() {
            self.until_done(|target| target.bury(&rejects))?;
            self.gate.status().buried(rejects.len());
        }
        self.gate.status().holds(0);
        batch.answer(verdicts);
        Ok(())
    }

    /// Writes until each row is durable or known to be refused.
    fn write(&mut self, batch: &Batch<T>) -> Result<Written<T::Answer>, Halt> {
        let mut verdicts = Vec::with_capacity(batch.rows.len());
        let mut rejects = Vec::new();
        while verdicts.len() < batch.rows.len() {
            let from = verdicts.len();
            let to = batch.rows.len().min(from + self.gate.rows_now());
            let rows = batch.rows.get(from..to).unwrap_or_default();
            let (target, gate) = (&mut self.target, &self.gate);
            let mut part = bisect(rows, |rows| gate.attempt(|| write_checked(target, rows)));
            let error = part.error.take();
            rejects.extend(part.culprits.iter().filter_map(|(row, error)| {
                let carrier = batch.carriers.get(from + row)?;
                let reject = T::reject(batch.rows.get(from + row)?, carrier, error);
                told(self.gate.status().name(), &reject, error);
                Some(reject)
            }));
            self.settle(part, &mut verdicts);
            if let Some(error) = error {
                self.gate.failed(error)?;
            }
        }
        Ok((verdicts, rejects))
    }

    /// Notes what a part achieved: the verdict of each row that is done, in order.
    fn settle(&mut self, part: Bisected<Vec<T::Answer>>, verdicts: &mut Vec<Verdict<T::Answer>>) {
        if part.done > 0 {
            self.gate.succeeded();
        }
        let from = verdicts.len();
        let (batches, culprits) = (part.good.len(), part.culprits.len());
        self.gate.status().wrote(batches, part.done - culprits);
        for (range, answers) in part.good {
            verdicts.resize_with(from + range.start, || Verdict::DeadLetter);
            verdicts.extend(answers.into_iter().map(Verdict::Done));
        }
        verdicts.resize_with(from + part.done, || Verdict::DeadLetter);
    }

    fn call(&mut self, mut call: Call<T>) -> Result<(), Halt> {
        self.until_done(|target| call(target))
    }

    fn until_done(
        &mut self,
        mut call: impl FnMut(&mut T) -> Result<(), SinkError>,
    ) -> Result<(), Halt> {
        loop {
            let target = &mut self.target;
            match self.gate.attempt(|| call(target)) {
                Ok(()) => {
                    self.gate.succeeded();
                    return Ok(());
                }
                Err(error) => self.gate.failed(error)?,
            }
        }
    }

    fn finish(&mut self) {
        let target = &mut self.target;
        if let Err(error) = self.gate.attempt(|| target.finish()) {
            tracing::warn!(sink = self.gate.status().name(), %error, "drain left work undone");
            self.gate.status().failed(error.to_string());
        }
    }
}

/// One row of a batch that went well around it.
fn told(sink: &str, reject: &Reject, error: &SinkError) {
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
