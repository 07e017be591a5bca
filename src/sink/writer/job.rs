//! What is handed to a writer, and what comes back.

use super::target::Target;

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowResult<A> {
    /// It is durable; this is the sink's answer.
    Done(A),
    /// The sink refuses it; its dead letter is durable.
    DeadLetter,
}

/// The places of the rows that were refused.
pub fn refused<A>(results: &[RowResult<A>]) -> Vec<usize> {
    let is_refused = |(row, verdict): (usize, &RowResult<A>)| {
        matches!(verdict, RowResult::DeadLetter).then_some(row)
    };
    let rows = results.iter().enumerate();
    rows.filter_map(is_refused).collect()
}

/// How a job is answered: once, on the writer's thread, when all of it is durable. It must not block.
pub struct Reply<A>(Box<dyn FnOnce(Vec<RowResult<A>>) + Send>);

impl<A: Send + 'static> Reply<A> {
    /// Calls a function with the results, in the order of the job's rows.
    pub fn call(f: impl FnOnce(Vec<RowResult<A>>) + Send + 'static) -> Self {
        Self(Box::new(f))
    }
}

impl<A> Reply<A> {
    pub(super) fn answer(self, results: Vec<RowResult<A>>) {
        (self.0)(results);
    }
}

/// Rows that are answered together.
pub struct WriteJob<T: Target> {
    pub(super) rows: Vec<T::Row>,
    pub(super) contexts: Vec<T::DeadLetterContext>,
    pub(super) reply: Reply<T::Answer>,
}

impl<T: Target> WriteJob<T> {
    /// A job of rows and what each one's dead letter would be made from: the two must be of one length, or the writer
    /// stops with a fatal error before it writes anything.
    pub fn new(
        rows: Vec<T::Row>,
        contexts: Vec<T::DeadLetterContext>,
        reply: Reply<T::Answer>,
    ) -> Self {
        Self {
            rows,
            contexts,
            reply,
        }
    }

    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// A call that runs on the writer's thread; an error asks for another attempt.
pub(super) type Call<T> = Box<dyn FnMut(&mut T) -> Result<(), crate::error::SinkError> + Send>;

/// What goes through the queue.
pub(super) enum WriterMessage<T: Target> {
    WriteJob(WriteJob<T>),
    Call(Call<T>),
    /// Nothing comes after it.
    End,
}

/// Jobs that are written together.
pub(super) struct WriteGroup<T: Target> {
    pub(super) rows: Vec<T::Row>,
    pub(super) contexts: Vec<T::DeadLetterContext>,
    replies: Vec<(usize, Reply<T::Answer>)>,
}

impl<T: Target> WriteGroup<T> {
    pub(super) fn of(job: WriteJob<T>) -> Self {
        Self {
            replies: vec![(job.rows.len(), job.reply)],
            rows: job.rows,
            contexts: job.contexts,
        }
    }

    pub(super) fn add(&mut self, mut job: WriteJob<T>) {
        self.replies.push((job.rows.len(), job.reply));
        self.rows.append(&mut job.rows);
        self.contexts.append(&mut job.contexts);
    }

    /// Whether each row has what its dead letter would be made from.
    pub(super) const fn is_whole(&self) -> bool {
        self.rows.len() == self.contexts.len()
    }

    /// Answers each job with its part.
    pub(super) fn answer(self, mut results: Vec<RowResult<T::Answer>>) {
        if let [_] = self.replies.as_slice() {
            for (_, reply) in self.replies {
                reply.answer(std::mem::take(&mut results));
            }
            return;
        }
        let mut results = results.into_iter();
        for (rows, reply) in self.replies {
            reply.answer(results.by_ref().take(rows).collect());
        }
    }
}
