//! The guard and its store, for a source's thread that must never wait: reads and writes are asked for and answered later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::{Guard, PartitionAttempt, Permit};

/// What a store answers, in the order of the questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rows of all partitions of the job.
    Kept(Vec<PartitionAttempt>),
    /// The rows that were to be written are durable.
    Written,
}

/// Where attempts are kept. Calls return at once; a store that is out of order answers when it is well again.
pub trait AttemptStore: Send + std::fmt::Debug {
    /// Asks for the rows of all partitions, because these begin.
    fn read(&mut self, partitions: Vec<String>);

    /// Asks that these rows be made durable.
    fn write(&mut self, rows: Vec<PartitionAttempt>);

    /// The next answer; waits for it for a while.
    fn answer(&mut self, wait: Duration) -> Option<Answer>;
}

/// Keeps nothing: for jobs whose outcomes go nowhere.
#[derive(Debug, Default)]
pub struct Unkept(VecDeque<Answer>);

impl AttemptStore for Unkept {
    fn read(&mut self, _lanes: Vec<String>) {
        self.0.push_back(Answer::Kept(Vec::new()));
    }

    fn write(&mut self, _rows: Vec<PartitionAttempt>) {
        self.0.push_back(Answer::Written);
    }

    fn answer(&mut self, _wait: Duration) -> Option<Answer> {
        self.0.pop_front()
    }
}

/// A partition that waits for what is kept of it.
#[derive(Debug)]
struct Beginning {
    partition: u32,
    name: String,
    floor: u64,
    /// The read that answers it was asked for.
    asked: bool,
}

/// A guard with its store.
pub struct Gate {
    guard: Guard,
    store: Box<dyn AttemptStore>,
    beginning: Vec<Beginning>,
    writing: bool,
    /// Partitions of which everything may be handed out without asking again.
    trusted: BTreeSet<u32>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// A guard over a store.
    pub fn new(store: Box<dyn AttemptStore>) -> Self {
        Self {
            guard: Guard::default(),
            store,
            beginning: Vec::new(),
            writing: false,
            trusted: BTreeSet::new(),
        }
    }

    /// A guard that keeps nothing and so never suspects.
    pub fn open() -> Self {
        Self::new(Box::new(Unkept::default()))
    }

    /// A partition begins at its settled floor. What is kept of it is read after this call, so that it holds what the member
    /// that had the partition before wrote last.
    pub fn begin(&mut self, partition: u32, name: &str, floor: u64) {
        self.beginning.push(Beginning {
            partition,
            name: name.to_owned(),
            floor,
            asked: false,
        });
        self.turn();
    }

    /// Takes answers and asks for what is to be asked. To be called often.
    pub fn turn(&mut self) {
        while let Some(answer) = self.store.answer(Duration::ZERO) {
            self.take(answer);
        }
        self.ask();
    }

    fn ask(&mut self) {
        let reading = self.beginning.iter().any(|partition| partition.asked);
        if !reading && !self.beginning.is_empty() {
            self.beginning
                .iter_mut()
                .for_each(|partition| partition.asked = true);
            let names = self
                .beginning
                .iter()
                .map(|partition| partition.name.clone());
            self.store.read(names.collect());
        }
        if !self.writing {
            let rows = self.guard.to_write();
            if !rows.is_empty() {
                self.writing = true;
                self.store.write(rows);
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Written => {
                self.writing = false;
                self.guard.written();
            }
            Answer::Kept(rows) => {
                // One of them may be suspect, which concerns all.
                self.trusted.clear();
                let mut rows: BTreeMap<String, PartitionAttempt> = rows
                    .into_iter()
                    .map(|row| (row.partition.clone(), row))
                    .collect();
                for begun in self.beginning.extract_if(.., |partition| partition.asked) {
                    let kept = rows.remove(&begun.name);
                    self.guard
                        .begin(begun.partition, &begun.name, begun.floor, kept);
                }
            }
        }
    }

    /// See [`Guard::permit`]. For a partition that is trusted already it costs a look into a set.
    pub fn permit(
        &mut self,
        partition: u32,
        waiting: usize,
        position: impl Fn(usize) -> u64,
    ) -> Permit {
        if self.trusted.contains(&partition) {
            return Permit::Go(usize::MAX);
        }
        self.turn();
        let mut permit = self.guard.permit(partition, waiting, &position);
        if permit == Permit::Wait {
            self.turn();
            permit = self.guard.permit(partition, waiting, position);
        }
        if permit == Permit::Go(usize::MAX) {
            self.trusted.insert(partition);
        }
        permit
    }

    /// See [`Guard::handed_out`].
    pub fn handed_out(&mut self, partition: u32, end: u64) {
        self.guard.handed_out(partition, end);
    }

    /// See [`Guard::settled`].
    pub fn settled(&mut self, partition: u32, floor: u64) {
        self.guard.settled(partition, floor);
    }

    /// See [`Guard::goes_on_from`].
    pub fn goes_on_from(&mut self, partition: u32, to: u64) {
        self.guard.goes_on_from(partition, to);
    }

    /// See [`Guard::pauses`].
    pub fn pauses(&mut self, partition: u32) {
        self.guard.pauses(partition);
    }

    /// See [`Guard::in_turn`].
    pub fn in_turn(&self, partitions: impl Iterator<Item = u32>) -> Vec<u32> {
        self.guard.in_turn(partitions)
    }

    /// See [`Guard::is_empty`].
    pub fn is_empty(&mut self, partition: u32) {
        self.guard.is_empty(partition);
    }

    /// Whether messages go one run at a time.
    pub fn is_suspicious(&self) -> bool {
        self.guard.is_suspicious()
    }

    /// How many messages a suspect partition may hand out at once, at most.
    pub fn width(&self) -> usize {
        self.guard.width()
    }

    /// Whether it is not known yet what is kept of a partition.
    pub const fn is_beginning(&self) -> bool {
        !self.beginning.is_empty()
    }

    /// Whether something is not durable yet.
    pub fn is_writing(&self) -> bool {
        self.guard.is_writing()
    }

    /// Lets partitions go: tells their end, which may take until `deadline`, and forgets them.
    pub fn end(&mut self, partitions: &[u32], deadline: Instant) {
        self.trusted
            .retain(|partition| !partitions.contains(partition));
        partitions
            .iter()
            .for_each(|partition| self.guard.end(*partition));
        self.finish(deadline);
        self.forget(partitions);
    }

    /// The process is to end: tells the end of all partitions as soon as the store takes it.
    pub fn end_all(&mut self) {
        self.beginning.clear();
        self.trusted.clear();
        self.guard.end_all();
        self.turn();
    }

    /// Waits until everything is written.
    pub fn finish(&mut self, deadline: Instant) {
        self.turn();
        while self.guard.is_writing() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.store.answer(left) {
                Some(answer) => self.take(answer),
                None => return,
            }
            self.ask();
        }
    }

    /// Partitions that are somebody else's now: nothing is told of them.
    pub fn forget(&mut self, partitions: &[u32]) {
        self.beginning
            .retain(|begun| !partitions.contains(&begun.partition));
        self.trusted
            .retain(|partition| !partitions.contains(partition));
        partitions
            .iter()
            .for_each(|partition| self.guard.forget(*partition));
    }
}
