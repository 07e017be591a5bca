//! The quarantine as one worker sees it: the bridge asks it for the next records, the decode operator names what it decodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, TryRecvError};

use super::suspects::{RecordPosition, Verdict};
use super::{IS_WORKER, NOBODY, PLACES_MAX, Quarantine, Shared};
use crate::epoch::Epoch;
use crate::source::{PartitionIds, Record, Records};

/// So many messages of one life are decoded alone only because a broker delivered them again and again. More would hold up all
/// others, and a message that ends the process is named by its own crash anyway.
pub(super) const REPEATED_ALONE_MAX: usize = 128;

/// One worker's part of the quarantine.
#[derive(Debug)]
pub struct WorkerQuarantine {
    shared: Arc<Shared>,
    worker: usize,
    partitions: PartitionIds,
    /// Records among which are suspects, and what of them is not handed out yet.
    held: Option<HeldRecords>,
    phase: QuarantinePhase,
}

/// What the worker may hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuarantinePhase {
    /// Trusted records, like all workers.
    Together,
    /// No worker takes anything any more; since which epoch is not known yet.
    Closing,
    /// What was taken up to this epoch is on its way to the writers.
    Draining(Epoch),
    /// Nothing is on its way: a suspect may be decoded.
    Ready,
    /// This suspect is decoded alone.
    Alone(RecordPosition, u64),
    /// It is decoded, and its rows enter the way to the writers at that epoch.
    Leaving(Epoch, RecordPosition),
}

#[derive(Debug)]
struct HeldRecords {
    whole: Records,
    rest: Vec<Record>,
}

/// The answer of [`WorkerQuarantine::receive`].
#[derive(Debug)]
pub enum Received {
    /// These are to be decoded: what the source cut, or a part of it. Only the last part has the whole position; the position of the
    /// others is empty, so that nothing settles before all of it is durable.
    Run(Records),
    /// Nothing waits.
    Nothing,
    /// Something waits, and may not be decoded yet.
    Wait,
    /// Nothing waits, and nothing will come.
    Closed,
}

impl WorkerQuarantine {
    /// The part of the worker whose thread calls.
    pub fn new(quarantine: &Quarantine, worker: usize, partitions: PartitionIds) -> Self {
        IS_WORKER.set(true);
        Self {
            shared: Arc::clone(&quarantine.0),
            worker,
            partitions,
            held: None,
            phase: QuarantinePhase::Together,
        }
    }

    /// Moves on: to be called each time before records are asked for. `is_through` says whether all rows up to an epoch, of all
    /// workers, are handed to the writers.
    pub fn advance(&mut self, now: Epoch, is_through: impl Fn(Epoch) -> bool) {
        self.phase = match self.phase {
            // Decoding may wait for the sinks and move what waits to a later epoch: first all of it is decoded. The epoch was read after
            // everybody could see that the gate is closed.
            QuarantinePhase::Closing if self.shared.undecoded.load(Ordering::SeqCst) == 0 => {
                QuarantinePhase::Draining(now)
            }
            QuarantinePhase::Draining(since) if is_through(since) => QuarantinePhase::Ready,
            QuarantinePhase::Leaving(since, place) if is_through(since) => {
                if let Some(files) = &self.shared.files {
                    files.breadcrumbs.clear(self.worker);
                }
                self.shared.clear(place);
                QuarantinePhase::Ready
            }
            other => other,
        };
    }

    /// The records to decode next.
    pub fn receive(&mut self, waiting: &Receiver<Records>) -> Received {
        // Counted before the gate is checked, so that whoever closes it sees either this run or nobody.
        self.shared.undecoded.fetch_add(1, Ordering::SeqCst);
        let received = self.try_receive(waiting);
        // A run without records (blank lines of a file) is never decoded.
        if !matches!(&received, Received::Run(run) if !run.records.is_empty()) {
            self.shared.undecoded.fetch_sub(1, Ordering::SeqCst);
        }
        received
    }

    fn try_receive(&mut self, waiting: &Receiver<Records>) -> Received {
        let alone = self.shared.alone.load(Ordering::SeqCst);
        if alone != NOBODY && alone != self.worker {
            return Received::Wait;
        }
        if !matches!(
            self.phase,
            QuarantinePhase::Together | QuarantinePhase::Ready
        ) {
            return Received::Wait;
        }
        if let Some(held) = self.held.take() {
            return self.receive_held(held);
        }
        self.decode_together();
        match waiting.try_recv() {
            Ok(records) if self.holds_suspect(&records) => {
                let (mut whole, mut rest) = (records, Vec::new());
                std::mem::swap(&mut whole.records, &mut rest);
                self.receive_held(HeldRecords { whole, rest })
            }
            Ok(records) => Received::Run(records),
            Err(TryRecvError::Empty) => Received::Nothing,
            Err(TryRecvError::Disconnected) => Received::Closed,
        }
    }

    /// The trusted records, then the suspects, each once it may be decoded alone. Which goes first changes no outcome.
    fn receive_held(&mut self, mut held: HeldRecords) -> Received {
        let partition = held.whole.partition;
        let (suspects, mut part): (Vec<Record>, Vec<Record>) = std::mem::take(&mut held.rest)
            .into_iter()
            .partition(|record| is_suspect(self.verdict(partition, record)));
        held.rest = suspects;
        if !part.is_empty() {
            self.decode_together();
            return self.hand_out(held, part);
        }
        if self.phase != QuarantinePhase::Ready {
            self.close_gate();
            self.held = Some(held);
            return Received::Wait;
        }
        let least = (0..held.rest.len()).min_by_key(|at| self.blame(partition, held.rest.get(*at)));
        part.extend(least.map(|at| held.rest.remove(at)));
        if let Some(record) = part.first() {
            if self.blame(partition, Some(record)) == 0 {
                self.shared.repeated_alone.fetch_add(1, Ordering::SeqCst);
            }
            self.phase =
                QuarantinePhase::Alone(self.place(partition, record), record.content_hash());
        }
        self.hand_out(held, part)
    }

    fn hand_out(&mut self, held: HeldRecords, records: Vec<Record>) -> Received {
        let is_last = held.rest.is_empty();
        let whole = &held.whole;
        let part = Records {
            end: if is_last { whole.end } else { whole.start },
            bytes: records.iter().map(Record::bytes).sum(),
            records,
            ..held.whole.clone()
        };
        self.held = (!is_last).then_some(held);
        Received::Run(part)
    }

    fn close_gate(&mut self) {
        let shared = &self.shared.alone;
        let closed =
            shared.compare_exchange(NOBODY, self.worker, Ordering::SeqCst, Ordering::SeqCst);
        if closed.is_ok() {
            self.phase = QuarantinePhase::Closing;
        }
    }

    fn decode_together(&mut self) {
        if self.phase == QuarantinePhase::Ready {
            self.phase = QuarantinePhase::Together;
            self.shared.alone.store(NOBODY, Ordering::SeqCst);
        }
    }

    /// Names the first of these records as what this worker decodes from now on; how many are named.
    pub fn enter(&self, partition: u32, records: &[Record]) -> usize {
        let Some(files) = &self.shared.files else {
            return records.len();
        };
        let count = records.len().min(PLACES_MAX);
        let offsets = records
            .iter()
            .take(count)
            .map(|record| record.origin().offset);
        let alone = match self.phase {
            QuarantinePhase::Alone(_, content) => Some(content),
            _ => None,
        };
        let partition = self.partitions.id(partition);
        files
            .breadcrumbs
            .write(self.worker, partition, offsets, alone);
        count
    }

    /// This worker decodes nothing for now; what it decoded has this epoch, and the run is at its end or not. The slot of a suspect
    /// stays until its rows are handed to the writers.
    pub fn leave(&mut self, epoch: Epoch, is_at_end: bool) {
        if is_at_end {
            self.shared.undecoded.fetch_sub(1, Ordering::SeqCst);
        }
        let is_alone = if let QuarantinePhase::Alone(place, _) = self.phase {
            self.phase = QuarantinePhase::Leaving(epoch, place);
            true
        } else {
            false
        };
        let Some(files) = &self.shared.files else {
            return;
        };
        if is_alone {
            files.breadcrumbs.decoded(self.worker);
        } else {
            files.breadcrumbs.clear(self.worker);
        }
    }

    /// Whether a record is not to be decoded, but to become a dead letter.
    pub fn is_poison(&self, partition: u32, record: &Record) -> bool {
        self.verdict(partition, record) == Verdict::DeadLetter
    }

    fn holds_suspect(&self, records: &Records) -> bool {
        let mut verdicts = records
            .records
            .iter()
            .map(|record| self.verdict(records.partition, record));
        verdicts.any(is_suspect)
    }

    pub(super) fn verdict(&self, partition: u32, record: &Record) -> Verdict {
        let is_repeated = self.shared.is_after_crash && record.deliveries() > 1;
        if !is_repeated && !self.shared.has_suspects.load(Ordering::Acquire) {
            return Verdict::Trusted;
        }
        let place = self.place(partition, record);
        let is_spent = self.shared.repeated_alone.load(Ordering::SeqCst) >= REPEATED_ALONE_MAX;
        let deliveries = if is_spent { 0 } else { record.deliveries() };
        let suspects = self.shared.suspects();
        suspects.verdict(place, deliveries, || record.content_hash())
    }

    fn blame(&self, partition: u32, record: Option<&Record>) -> u32 {
        let place = record.map(|record| self.place(partition, record));
        place.map_or(0, |place| self.shared.suspects().blame(place))
    }

    fn place(&self, partition: u32, record: &Record) -> RecordPosition {
        RecordPosition {
            partition: self.partitions.id(partition),
            offset: record.origin().offset,
        }
    }
}

const fn is_suspect(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Suspect)
}
