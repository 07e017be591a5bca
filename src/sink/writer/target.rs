//! What a writer writes to: the event log here, the state store in [`super::state`].

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::job::{Job, Reply};
use crate::error::SinkError;
use crate::event::{Delivery, Reason, ReasonCode, Reject, Stage};
use crate::sink::log::{EventLog, LogRow};

/// A sink as its writer sees it. All calls come from one thread.
pub trait Target: Send + Sized + 'static {
    /// What is written.
    type Row: Send + 'static;
    /// What the dead letter of a row is made from, if the row does not hold it itself.
    type Carrier: Send + 'static;
    /// What the sink says to a row.
    type Answer: Send + 'static;

    /// Writes rows durably; one answer for each, in order.
    fn write(&mut self, rows: &[Self::Row]) -> Result<Vec<Self::Answer>, SinkError>;

    /// The dead letter of a row that the sink refuses.
    fn reject(row: &Self::Row, carrier: &Self::Carrier, error: &SinkError) -> Reject;

    /// Stores dead letters durably.
    fn bury(&mut self, rejects: &[Reject]) -> Result<(), SinkError>;

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
pub type Bury = Box<dyn FnMut(&[Reject]) -> Result<(), SinkError> + Send>;

/// An event log and where its dead letters go.
pub struct LogTarget {
    log: Box<dyn EventLog>,
    bury: Bury,
}

impl LogTarget {
    /// A log whose dead letters go to `bury`, for instance [`super::StateHandle::burier`].
    pub fn new(log: Box<dyn EventLog>, bury: Bury) -> Self {
        Self { log, bury }
    }
}

impl Target for LogTarget {
    type Row = LogRow;
    type Carrier = ();
    type Answer = ();

    fn write(&mut self, rows: &[LogRow]) -> Result<Vec<()>, SinkError> {
        self.log.append(rows)?;
        Ok(vec![(); rows.len()])
    }

    fn reject(row: &LogRow, _: &(), error: &SinkError) -> Reject {
        reject(&row.event.delivery, row.event.index, Stage::Log, error)
    }

    fn bury(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        (self.bury)(rejects)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.log.compact()
    }
}

impl Job<LogTarget> {
    /// A job for the log.
    pub fn log(rows: Vec<LogRow>, reply: Reply<()>) -> Self {
        let carriers = vec![(); rows.len()];
        Self::new(rows, carriers, reply)
    }
}
