//! The [guard](crate::source::guard) against messages that end the process, asked before anything is handed out.
//!
//! Its positions are sequences of the stream, and a partition begins where its consumer is acknowledged. In the trusted state a permit is
//! one look for a whole batch, and nothing is told of what was handed out and settled: every partition has begun before the first
//! message is asked for, so none can become suspect later.
//!
//! While a partition is suspect, everything goes in the order of the sequences, as the guard demands. But the server delivers what a dead process held
//! again only after its patience (`ack_wait`), and what comes for the first time at once. So then
//! * nothing of a partition is handed out before everything that the server waits for is held here, in order, and what was handed out before
//!   is acknowledged, confirmed;
//! * where a message comes that belongs before what was handed out (the server died and had not written down an acknowledgement), and
//!   that is durable, it goes next: nothing can be acknowledged *up to* anything before;
//! * partitions go in turn, so that none waits until another one has nothing more; one that waits for the server is passed over;
//! * of a partition of which something is held by the dead, nothing is asked for until the server has given that up, and then so much or a little;
//! * else little is asked for, so that little waits here. What waits is reported as worked on like all that is held.

use std::time::Duration;

use tokio::time::Instant;

use super::{Reader, TURN, Work};
use crate::source::guard::{Gate, Permit};
use crate::source::nats::settings::Settings;
use crate::source::nats::stream::Found;
use crate::source::{PartitionEvent, Record, Records};

/// How many messages of a partition are asked for while one is suspect: as many as may go at once, but so few and so many.
const FEW: usize = 16;
const MANY: usize = 256;
/// How long the end of the partitions may take to be told to the state store.
const LAST_NOTE: Duration = Duration::from_secs(2);

impl Reader {
    /// Begins the partitions, at the job and at the guard.
    pub(super) fn begin(&mut self, found: &Found) {
        let (stream, created) = (&self.settings.stream, found.stream.created);
        for (partition, work) in &mut self.partitions {
            let known = found.consumer(&self.settings, *partition);
            let floor = known.map_or(0, |info| info.ack_floor.stream_sequence);
            work.partition
                .begins_after(known.map_or(0, |info| info.delivered.consumer_sequence));
            // A stream that is made anew counts from the start again.
            let name = format!("{stream} partition {partition} of {created}");
            self.gate.begin(*partition, &name, floor + 1);
        }
        for partition in self.partitions.keys() {
            self.tell(PartitionEvent::Begins {
                partition: *partition,
                name: format!("{stream} partition {partition}"),
                offset: 0,
                length: None,
            });
        }
    }

    /// Cuts parcels of what may be handed out.
    pub(super) fn cut(&mut self) {
        self.gate.turn();
        if self.gate.is_beginning() {
            return;
        }
        match self.gate.is_suspicious() {
            true => self.cut_suspiciously(),
            false => self.cut_trustfully(),
        }
    }

    fn cut_trustfully(&mut self) {
        let (now, room) = (self.now(), self.ready.is_empty());
        for (partition, work) in &mut self.partitions {
            if work.run.is_due(now, room) {
                self.ready.extend(work.trusted(&mut self.gate, *partition));
            }
        }
    }

    fn cut_suspiciously(&mut self) {
        let (now, room) = (self.now(), self.ready.is_empty());
        for (partition, work) in &mut self.partitions {
            work.tell(&mut self.gate, *partition);
        }
        for partition in self.gate.in_turn(self.partitions.keys().copied()) {
            if let Some(work) = self.partitions.get_mut(&partition)
                && work.run.is_due(now, room)
            {
                self.ready.extend(work.permitted(&mut self.gate, partition));
            }
        }
    }

    /// Tells the end of all partitions, as far as the state store takes it in time.
    pub(super) async fn close(&mut self) {
        self.gate.end_all();
        let deadline = Instant::now() + LAST_NOTE;
        while self.gate.is_writing() && Instant::now() < deadline {
            tokio::time::sleep(TURN).await;
            self.gate.turn();
        }
    }
}

impl Work {
    fn trusted(&mut self, gate: &mut Gate, partition: u32) -> Option<Records> {
        let (work, start) = (&self.partition, self.run.start);
        let waiting = self.run.records.len();
        match gate.permit(partition, waiting, |at| work.sequence(start + at as u64)) {
            Permit::Go(_) => Some(self.run.cut(partition)),
            Permit::Wait | Permit::Condemned => None,
        }
    }

    /// A run that is in work alone.
    fn permitted(&mut self, gate: &mut Gate, partition: u32) -> Option<Records> {
        if !self.may_go_on(gate, partition) {
            return None;
        }
        let (work, start) = (&self.partition, self.run.start);
        let waiting = self.run.records.len();
        let permit = gate.permit(partition, waiting, |at| work.sequence(start + at as u64));
        let parcel = match permit {
            Permit::Wait | Permit::Go(0) => return None,
            Permit::Go(most) => self.run.cut_first(partition, most),
            Permit::Condemned => condemned(self.run.cut_first(partition, 1)),
        };
        gate.handed_out(partition, self.partition.sequence(parcel.end - 1) + 1);
        self.is_alone = true;
        Some(parcel)
    }

    /// Once what was handed out alone is acknowledged, the guard is told; and that it is durable, where nothing can be acknowledged.
    fn tell(&mut self, gate: &mut Gate, partition: u32) {
        let start = self.partition.next() - self.run.records.len() as u64;
        if self.partition.is_in_doubt() && self.partition.is_durable_before(start) {
            gate.pauses(partition);
        }
        if !self.is_alone || !self.partition.is_settled_before(start) {
            return;
        }
        if let Some(floor) = self.partition.acknowledged() {
            self.is_alone = false;
            gate.settled(partition, floor);
            gate.goes_on_from(partition, floor);
        }
    }

    /// Whether what waits may follow what was handed out; it is in order then.
    fn may_go_on(&mut self, gate: &mut Gate, partition: u32) -> bool {
        let start = self.run.start;
        let goes_back = self.partition.goes_back(start);
        if !goes_back && !self.partition.is_settled_before(start) {
            return false;
        }
        self.put_in_order();
        // It may have been out of order only among what waits: then what was handed out can be acknowledged now.
        if goes_back && !self.partition.goes_back(start) {
            return false;
        }
        gate.goes_on_from(partition, self.partition.sequence(start));
        true
    }

    /// Nothing that waits was handed out yet, so it may still change its place.
    fn put_in_order(&mut self) {
        let Some(places) = self.partition.in_order(self.run.start) else {
            return;
        };
        let mut before: Vec<Option<Record>> = self.run.records.drain(..).map(Some).collect();
        for (ordinal, place) in (self.run.start..).zip(places) {
            let record = before.get_mut(place).and_then(Option::take);
            self.run
                .records
                .extend(record.map(|record| record.at(ordinal)));
        }
    }

    /// How many messages to ask for while a partition is suspect.
    pub(super) fn wanted(&self, now: Duration, width: usize, settings: &Settings) -> usize {
        let most = settings.batch_messages;
        if self.partition.is_in_doubt() {
            // What the server has forgotten it has not given to anybody.
            let left = match self.partition.is_given_up(now, settings.ack_wait) {
                true => self.missing.all(),
                false => self.missing.forgotten(),
            };
            return match usize::try_from(left) {
                Ok(0) => 0,
                Ok(left) => left.clamp(FEW.min(most), most),
                Err(_) => most,
            };
        }
        let target = width.clamp(FEW, MANY).min(most);
        match self.run.records.len() < target {
            true => target,
            false => 0,
        }
    }
}

/// The one message of a parcel becomes a dead letter.
fn condemned(mut parcel: Records) -> Records {
    let records = parcel.records.into_iter();
    parcel.records = records.map(Record::condemned).collect();
    parcel
}
