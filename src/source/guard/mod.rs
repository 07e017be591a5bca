//! Messages that end the process: found by what is kept, durably, of each partition, and dead-lettered, so that one of them does not
//! stand in the way of all others for ever.
//!
//! A message whose handling ends the process (out of memory, an abort, a stack that overflows) leaves no error behind, and
//! the broker hands it out again to the next process. So a row of the state store ([`PartitionAttempt`]) says of each partition that its
//! messages are in work, *before* any of them is handed out. The next start reads it:
//!
//! * **A death** is an end that nobody told: SIGKILL, an abort, the out-of-memory killer. An end that the process decides on itself
//!   is none, whatever its exit code: asked to stop, stood still or panicked (70), an outage or a drain that took too long, a second
//!   signal (75). Then it leaves word twice: in its own folder, and in the store where the store takes it within two seconds. A store that is
//!   what is out of order is told by the next start in the same folder, before it hands anything out. Word is left as soon as the reason is known,
//!   not at the end: when a drain begins, and while a sink is out, so that a supervisor that loses patience accuses nobody either.
//! * **A panic** over a message looks like poison, and yet it counts for nothing: like a standstill it is a defect of the program, at a place that
//!   its log names, and the exit says so. The decoders promise that no input makes them panic. What does not count only delays a verdict; what
//!   counted wrongly could make one.
//! * **Deaths without progress** are counted: those after which the partition's settled floor is where it was at the start before.
//!   Any progress resets the count, so a process that dies for other reasons accuses nobody as long as it gets on.
//! * **Suspicion.** While any partition is suspect the whole source hands out one run of messages of one partition at a time, which is
//!   named in the partition's row first and must be durable and acknowledged before the next one; suspect partitions have every second turn.
//!   Runs shrink with every death without progress: 256, 64, 16, 4. After [`DEATHS_BEFORE_SINGLY`] deaths messages go singly.
//! * **Condemned** is the one message that was named while its partition went singly and the process died: the next start hands it
//!   out as a dead letter with its raw bytes. Nothing else is ever dead-lettered by this guard.
//! * **Trust** returns when the floor has passed all that was in work when the process died.
//!
//! Two things are not known. A member whose folder is not kept, or whose partition somebody else reads by then, and whose store could not be told: its end
//! counts. And a second signal within a tenth of a second of the first comes before word is left.
//!
//! The sources of Kafka and of NATS ask it. Kafka's positions are offsets, those of NATS sequences of the stream. NATS delivers what a dead
//! process held only after `ack_wait` again, and a suspect partition waits for that, as nothing may go before it: so each start
//! while a partition is suspect takes that long, and a poison about eight times as long until it is found.
//!
//! [`Guard`] is pure; [`Gate`] connects it with the store without ever blocking the source's thread.

mod gate;
mod partition;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use super::attempt::PartitionAttempt;
pub use gate::{Answer, AttemptStore, Gate, Unkept};
use partition::Watched;

/// After so many deaths without progress the messages of a partition go singly.
pub const DEATHS_BEFORE_SINGLY: u32 = 5;

/// What may be handed out of a partition now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Nothing yet.
    Wait,
    /// At most so many of the waiting messages.
    Go(usize),
    /// The first waiting message, alone and as a dead letter.
    Condemned,
}

/// The partitions of one process.
#[derive(Debug, Default)]
pub struct Guard {
    partitions: BTreeMap<u32, Watched>,
    turns: Turns,
}

/// Whose turn it was.
#[derive(Debug, Default)]
struct Turns {
    /// The partitions of which something was handed out last: one that was trusted, one that was suspect.
    last: [Option<u32>; 2],
    /// The last of all was suspect.
    was_suspect: bool,
}

impl Guard {
    /// A partition begins at its settled floor; `kept` is what the store holds of it.
    pub fn begin(
        &mut self,
        partition: u32,
        name: &str,
        floor: u64,
        kept: Option<PartitionAttempt>,
    ) {
        let watched = Watched::begin(name, floor, kept.unwrap_or_default());
        if watched.is_suspect() {
            let deaths = watched.row.deaths;
            tracing::warn!(
                partition = name,
                deaths,
                "the process died over this partition before"
            );
        }
        self.partitions.insert(partition, watched);
    }

    /// What may be handed out of a partition of which `waiting` messages wait; `position` is the position of each of them.
    /// A permit stands until [`handed_out`](Self::handed_out).
    pub fn permit(
        &mut self,
        partition: u32,
        waiting: usize,
        position: impl Fn(usize) -> u64,
    ) -> Permit {
        if waiting == 0 || !self.partitions.contains_key(&partition) {
            return Permit::Wait;
        }
        let permit = match self.is_suspicious() {
            true => self.permit_alone(partition, waiting, position),
            false => self.permit_trusted(partition),
        };
        match self.is_writing() {
            true => Permit::Wait,
            false => permit,
        }
    }

    fn permit_trusted(&mut self, partition: u32) -> Permit {
        let partition = self.partitions.get_mut(&partition);
        partition.map_or(Permit::Wait, Watched::permit_trusted)
    }

    /// One run at a time, over all partitions.
    fn permit_alone(
        &mut self,
        partition: u32,
        waiting: usize,
        position: impl Fn(usize) -> u64,
    ) -> Permit {
        let mut others = self
            .partitions
            .iter()
            .filter(|(number, _)| **number != partition);
        if others.any(|(_, other)| other.is_in_work() || other.run.is_some()) {
            return Permit::Wait;
        }
        let Some(watched) = self.partitions.get_mut(&partition) else {
            return Permit::Wait;
        };
        let permit = watched.permit_alone(waiting, position);
        if watched.run.is_some() {
            let others = self
                .partitions
                .iter_mut()
                .filter(|(number, _)| **number != partition);
            others.for_each(|(_, other)| other.rest());
        }
        permit
    }

    /// Partitions in the order in which they are to ask while one is suspect. Suspect partitions have every second turn, so that trust returns
    /// soon; and those that went last ask last, or the others would wait until nothing of them waits any more.
    pub fn in_turn(&self, partitions: impl Iterator<Item = u32>) -> Vec<u32> {
        let (suspect, trusted): (Vec<u32>, Vec<u32>) =
            partitions.partition(|partition| self.is_suspect(*partition));
        let [trusted, suspect] = [(trusted, 0), (suspect, 1)].map(|(mut partitions, which)| {
            partitions.sort_unstable();
            let gone =
                partitions.partition_point(|partition| Some(*partition) <= self.turns.last[which]);
            partitions.rotate_left(gone);
            partitions
        });
        match self.turns.was_suspect {
            true => [trusted, suspect].concat(),
            false => [suspect, trusted].concat(),
        }
    }

    fn is_suspect(&self, partition: u32) -> bool {
        self.partitions
            .get(&partition)
            .is_some_and(Watched::is_suspect)
    }

    /// Everything before `end` was handed out.
    pub fn handed_out(&mut self, partition: u32, end: u64) {
        self.turns.was_suspect = self.is_suspect(partition);
        self.turns.last[usize::from(self.turns.was_suspect)] = Some(partition);
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.handed_out(end);
        }
    }

    /// Everything of a partition before `floor` is durable, and the broker knows it: the next start begins there or later. What is
    /// only durable may be handed out again, so a condemned message stays condemned until then.
    pub fn settled(&mut self, partition: u32, floor: u64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.settled(floor);
        }
    }

    /// Everything that was handed out of a partition is durable, and it goes on at `to`, which may lie before it: what is there came late,
    /// or comes again.
    pub fn goes_on_from(&mut self, partition: u32, to: u64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.goes_on_from(to);
        }
    }

    /// Everything that was handed out of a partition is durable, but it cannot go on for now: others may.
    pub fn pauses(&mut self, partition: u32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.pauses();
        }
    }

    /// Nothing of a partition waits at the broker and nothing is in work: there is nothing to suspect.
    pub fn is_empty(&mut self, partition: u32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.nothing_waits();
        }
    }

    /// A partition is let go in good order, or the process ends: whatever follows is not held against its messages. Until it
    /// is forgotten nothing more may be handed out of it.
    pub fn end(&mut self, partition: u32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.end();
        }
    }

    /// The same of all partitions.
    pub fn end_all(&mut self) {
        self.partitions.values_mut().for_each(Watched::end);
    }

    /// A partition is somebody else's now.
    pub fn forget(&mut self, partition: u32) {
        self.partitions.remove(&partition);
    }

    /// Rows that are to be made durable; none if there are none. Not to be asked again before [`Self::written`].
    pub fn to_write(&mut self) -> Vec<PartitionAttempt> {
        let queued = self
            .partitions
            .values_mut()
            .filter(|partition| partition.queued);
        queued.map(Watched::write).collect()
    }

    /// The rows last given are durable.
    pub fn written(&mut self) {
        self.partitions.values_mut().for_each(Watched::written);
    }

    /// Whether a row is not durable yet.
    pub fn is_writing(&self) -> bool {
        self.partitions
            .values()
            .any(|partition| partition.unwritten)
    }

    /// Whether messages go one run at a time.
    pub fn is_suspicious(&self) -> bool {
        self.partitions.values().any(Watched::is_suspect)
    }

    /// How many messages a suspect partition may hand out at once, at most.
    pub fn width(&self) -> usize {
        let suspects = self
            .partitions
            .values()
            .filter(|partition| partition.is_suspect());
        suspects.map(Watched::width).max().unwrap_or(1)
    }
}
