//! The sources: where deliveries come from, and where settled offsets are committed.
//!
//! A [`Connector`] is a source as the configuration describes it; a [`Source`] runs on a thread of its own, reads ahead only as far
//! as its bounded channels let it, and hands out [`Records`]: runs of records of one partition, each a range of offsets. Contract:
//!
//! * the runs of one partition are handed out in the order of their offsets, without gaps, and an offset that is still open is
//!   never handed out twice;
//! * which worker gets a run does not matter: parsing and decoding scale with the workers even from one file;
//! * an offset is *settled* when everything in its run is durable in every sink; what is committed of a partition is its
//!   contiguous settled prefix, never the maximum ([`commit_tracker`]).
//!
//! What sources share stands here once: [`run_builder`] cuts runs, [`in_flight`] bounds what is open, [`commit_tracker`] decides what
//! may be committed, [`replay`] hands out a past, [`members`] reads which partitions are a member's, [`pace`] keeps a rate.

pub mod bridge;
pub mod commit_tracker;
pub mod connect_error;
pub mod connector;
pub mod context;
pub mod envelope;
pub mod file;
pub mod generator;
pub mod health;
pub mod in_flight;
pub mod kafka;
pub mod members;
pub mod message;
pub mod nats;
pub mod outgoing;
pub mod pace;
mod partition_ids;
pub mod replay;
pub mod run_builder;
pub mod secret;
pub mod state_breaker;

pub use connector::{Connector, Source, SourceError};
pub use context::{Commit, SourceContext};
pub use health::SourceHealth;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

pub use partition_ids::PartitionIds;

use crate::event::{Delivery, Millis, Origin, Provider, User};

/// One record as a source hands it out.
#[derive(Clone, Debug)]
pub enum Record {
    /// A line of JSON that describes a delivery; workers parse it (see [`envelope`]).
    Line(Origin, Bytes),
    /// A broker's message that describes a delivery; workers read it (see [`message`]).
    Message(Box<message::Message>),
    /// A delivery whose envelope was read already.
    Ready(Arc<Delivery>),
}

impl Record {
    /// Where it came from.
    pub fn origin(&self) -> Origin {
        match self {
            Record::Line(origin, _) => *origin,
            Record::Message(message) => message.origin,
            Record::Ready(delivery) => delivery.origin,
        }
    }

    /// How often a broker delivered it, this time included; zero if that is not known.
    pub const fn deliveries(&self) -> u32 {
        match self {
            Record::Message(message) => message.deliveries,
            Record::Line(..) | Record::Ready(_) => 0,
        }
    }

    /// Hash of the bytes of its body or line: tells whether two records at one place are the same.
    pub fn content_hash(&self) -> u64 {
        match self {
            Record::Line(_, text) => partition_ids::hash(text),
            Record::Message(message) => partition_ids::hash(&message.body),
            Record::Ready(delivery) => partition_ids::hash(&delivery.body),
        }
    }

    /// When a broker received it, if that is known.
    pub const fn broker_time(&self) -> Option<Millis> {
        match self {
            Record::Message(message) => message.at,
            Record::Line(..) | Record::Ready(_) => None,
        }
    }

    /// About how many bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Record::Line(_, text) => text.len() + 64,
            Record::Message(message) => message.bytes(),
            Record::Ready(delivery) => delivery.body.len() + delivery.headers.as_json().len() + 256,
        }
    }
}

/// A run of records of one partition.
#[derive(Clone, Debug)]
pub struct Records {
    /// The partition, numbered from 0 within the run.
    pub partition: u32,
    /// Where in the partition it starts.
    pub start: u64,
    /// Where the next one starts.
    pub end: u64,
    /// What it holds, in order.
    pub records: Vec<Record>,
    /// What it weighs against the in-flight limit.
    pub bytes: usize,
    /// When its first delivery was due, if the source keeps a schedule: latency counts from then.
    pub due: Option<Instant>,
}

/// What happens to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionEvent {
    /// A partition begins at `offset`; `name` is what a person knows it by.
    Begins {
        /// The partition.
        partition: u32,
        /// Its name (for a file its path).
        name: String,
        /// Where reading starts.
        offset: u64,
        /// How long it is, if that is known, in the unit of `offset`.
        length: Option<u64>,
    },
    /// A partition was handed out to its end.
    Ended {
        /// The partition.
        partition: u32,
        /// Where it ended.
        offset: u64,
    },
    /// A partition belongs to another member now: what is still open of it is not committed here.
    Revoked {
        /// The partition.
        partition: u32,
    },
    /// A partition is read from its start although part of it was settled: it is not what was read before.
    Restarted {
        /// The partition.
        partition: u32,
        /// Why, for a person.
        reason: String,
    },
    /// A partition cannot be read, or not on; comes without [`PartitionEvent::Begins`] where it could not be opened.
    Failed {
        /// The partition.
        partition: u32,
        /// Why, for a person.
        reason: String,
    },
}

/// Where a source sends its records: to the workers in turn.
#[derive(Clone, Debug)]
pub struct RecordSender {
    workers: Vec<Sender<Records>>,
    partition_events: Sender<PartitionEvent>,
    partition_ids: PartitionIds,
    next: usize,
}

/// Where they are received: one channel a worker, and the partition events.
#[derive(Debug)]
pub struct RecordReceivers {
    /// One a worker.
    pub workers: Vec<Receiver<Records>>,
    /// For the job's bookkeeping.
    pub partition_events: Receiver<PartitionEvent>,
    /// Knows each partition that has begun.
    pub partition_ids: PartitionIds,
}

/// The job takes no more records: it is draining or gone. A source that sees it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl RecordSender {
    /// Channels for `workers` workers that hold `depth` runs each.
    pub fn channels(workers: usize, depth: usize) -> (RecordSender, RecordReceivers) {
        let (senders, receivers) = (0..workers).map(|_| bounded(depth)).unzip();
        let (partition_events, received) = crossbeam_channel::unbounded();
        let partition_ids = PartitionIds::default();
        let sender = RecordSender {
            workers: senders,
            partition_events,
            partition_ids: partition_ids.clone(),
            next: 0,
        };
        (
            sender,
            RecordReceivers {
                workers: receivers,
                partition_events: received,
                partition_ids,
            },
        )
    }

    /// Hands out a run: to the next worker that has room, else waits for the one whose turn it is.
    pub fn hand_out(&mut self, run: Records) -> Result<(), Stopped> {
        let Some(run) = self.try_hand_out(run)? else {
            return Ok(());
        };
        let worker = self.turn().ok_or(Stopped)?;
        worker.send(run).map_err(|_| Stopped)
    }

    /// Hands out a run if any worker has room; gives it back otherwise. For sources that must not wait.
    pub fn try_hand_out(&mut self, mut run: Records) -> Result<Option<Records>, Stopped> {
        for _ in 0..self.workers.len() {
            let worker = self.turn().ok_or(Stopped)?;
            match worker.try_send(run) {
                Ok(()) => return Ok(None),
                Err(crossbeam_channel::TrySendError::Full(back)) => run = back,
                Err(crossbeam_channel::TrySendError::Disconnected(_)) => return Err(Stopped),
            }
        }
        Ok(Some(run))
    }

    /// Hands out a run, and waits for room for a while; gives it back if there was none.
    pub fn hand_out_within(
        &mut self,
        run: Records,
        wait: Duration,
    ) -> Result<Option<Records>, Stopped> {
        let Some(run) = self.try_hand_out(run)? else {
            return Ok(None);
        };
        let worker = self.turn().ok_or(Stopped)?;
        match worker.send_timeout(run, wait) {
            Ok(()) => Ok(None),
            Err(SendTimeoutError::Timeout(run)) => Ok(Some(run)),
            Err(SendTimeoutError::Disconnected(_)) => Err(Stopped),
        }
    }

    /// Sends the job what happens to a partition.
    pub fn send_event(&self, event: PartitionEvent) -> Result<(), Stopped> {
        if let PartitionEvent::Begins {
            partition, name, ..
        } = &event
        {
            self.partition_ids.insert(*partition, name);
        }
        self.partition_events.send(event).map_err(|_| Stopped)
    }

    fn turn(&mut self) -> Option<&Sender<Records>> {
        let at = self.next;
        self.next = (self.next + 1) % self.workers.len().max(1);
        self.workers.get(at)
    }
}

/// What a record's envelope leaves out, and what it is held against.
#[derive(Clone, Debug)]
pub struct EnvelopeDefaults {
    /// The tenant of deliveries that name none.
    pub user: User,
    /// The provider of deliveries that name none, if the command line gave one.
    pub provider: Option<Provider>,
    /// The providers that can be decoded; a delivery of any other is refused.
    pub known: Arc<[Provider]>,
}

impl EnvelopeDefaults {
    /// Whether deliveries of a provider can be decoded.
    pub fn knows(&self, provider: &Provider) -> bool {
        self.known.contains(provider)
    }
}
