//! What a writer writes to: the event log here, the state store in [`super::state`].

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::SinkError;
use crate::event::{Delivery, Reason, ReasonCode, Reject, Stage};
use crate::log::{EventLog, LogRow};
use crate::metrics::{Metrics, Sink};

/// A sink as its writer sees it. All calls come from one thread.
pub trait Target: Send + Sized + 'static {
    /// What is written.
    type Row: Send + 'static;
    /// What the dead letter of a row is made from, if the row does not hold it itself.
    type DeadLetterContext: Send + 'static;
    /// What the sink says to a row.
    type Answer: Send + 'static;

    /// Writes rows durably; one answer for each, in order.
    fn write(&mut self, rows: &[Self::Row]) -> Result<Vec<Self::Answer>, SinkError>;

    /// The dead letter of a row that the sink refuses.
    fn reject(row: &Self::Row, context: &Self::DeadLetterContext, error: &SinkError) -> Reject;

    /// Stores dead letters durably.
    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError>;

    /// The last thing that it does at drain. A failure is reported and loses nothing.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What becomes the dead letter of one event of a delivery, when a sink refuses it.
pub fn reject(delivery: &Delivery, index: u32, stage: Stage, error: &SinkError) -> Reject {
    Reject {
        origin: delivery.origin,
        provider: delivery.provider.clone(),
        user: delivery.user.clone(),
        stage,
        index,
        reason: Reason::new(ReasonCode::Refused, error.to_string()),
        raw: Bytes::clone(&delivery.body),
        body_sha256: Sha256::digest(&delivery.body).into(),
        headers: delivery.headers.clone(),
        received_at: delivery.received_at,
    }
}

/// Where the dead letters of another sink go; it returns when they are durable.
pub type DeadLetterWriter = Box<dyn FnMut(&[Reject]) -> Result<(), SinkError> + Send>;

/// An event log and where its dead letters go.
pub struct LogTarget {
    log: Box<dyn EventLog>,
    write_dead_letters: DeadLetterWriter,
    metrics: Arc<Metrics>,
    #[cfg(feature = "faults")]
    known: Option<faults::Known>,
}

impl LogTarget {
    /// A log whose dead letters go to `write_dead_letters`, for instance [`super::StateHandle::dead_letter_writer`].
    pub fn new(
        log: Box<dyn EventLog>,
        write_dead_letters: DeadLetterWriter,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            log,
            write_dead_letters,
            metrics,
            #[cfg(feature = "faults")]
            known: None,
        }
    }

    /// What the state store knows, for the wrong design that asks it.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn asking(mut self, known: faults::Known) -> Self {
        self.known = Some(known);
        self
    }
}

/// The wrong design that does not log what the state store calls a duplicate: a crash between the sinks loses log rows.
#[cfg(feature = "faults")]
pub mod faults {
    use super::{LogRow, LogTarget, SinkError};
    use crate::failpoint::faults::{Wrong, wrong};
    use crate::key::{Bucket, Identity};

    /// For each event, whether the state store holds it.
    pub type Known = Box<dyn FnMut(Vec<(Bucket, Identity)>) -> Result<Vec<bool>, SinkError> + Send>;

    /// Appends, in the wrong design, only what is new to the state store.
    pub(super) fn append(target: &mut LogTarget, rows: &[LogRow]) -> Result<(), SinkError> {
        let Some(known) = target
            .known
            .as_mut()
            .filter(|_| wrong(Wrong::SkipLogForDuplicates))
        else {
            return target.log.append(rows);
        };
        let asked = rows
            .iter()
            .map(|row| (row.event.bucket, row.event.identity));
        let known = known(asked.collect())?;
        let new = rows.iter().zip(known).filter(|(_, known)| !known);
        let new: Vec<LogRow> = new.map(|(row, _)| row.clone()).collect();
        target.log.append(&new)
    }
}

impl Target for LogTarget {
    type Row = LogRow;
    type DeadLetterContext = ();
    type Answer = ();

    fn write(&mut self, rows: &[LogRow]) -> Result<Vec<()>, SinkError> {
        let started = Instant::now();
        #[cfg(feature = "faults")]
        faults::append(self, rows)?;
        #[cfg(not(feature = "faults"))]
        self.log.append(rows)?;
        self.metrics
            .wrote(Sink::Log, rows.len() as u64, started.elapsed());
        Ok(vec![(); rows.len()])
    }

    fn reject(row: &LogRow, _: &(), error: &SinkError) -> Reject {
        reject(&row.event.delivery, row.event.index, Stage::Log, error)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        (self.write_dead_letters)(rejects)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.log.compact()
    }
}
