//! The rules of one partition.

use super::{DEATHS_BEFORE_SINGLY, PartitionAttempt, Permit};

/// Runs of a partition that is only suspected because its end was seen in a run that had got on.
const FIRST_WIDTH: usize = 1_024;
/// Where nobody knows how much was in work, runs grow up to this before the partition is trusted.
const LAST_WIDTH: usize = 65_536;

/// A partition of this process.
#[derive(Debug)]
pub(super) struct Watched {
    /// The row as it is to be.
    pub row: PartitionAttempt,
    /// The row has changed since it was given to be written.
    pub queued: bool,
    /// The row is not durable yet.
    pub unwritten: bool,
    /// The run that may be handed out: where it ends.
    pub run: Option<u64>,
    width: usize,
    floor: u64,
    handed_out: u64,
    ended: bool,
}

impl Watched {
    /// Judges what is kept of a partition that begins at `floor`. A death is written before anything is handed out of any partition, so that it
    /// counts however this process ends.
    pub fn begin(name: &str, floor: u64, kept: PartitionAttempt) -> Self {
        let died = kept.running;
        let row = judge(name, floor, kept);
        Self {
            width: width(row.deaths),
            row,
            queued: died,
            unwritten: died,
            run: None,
            floor,
            handed_out: floor,
            ended: false,
        }
    }

    pub const fn is_suspect(&self) -> bool {
        !self.ended
            && (self.row.deaths > 0 || self.row.condemned.is_some() || self.floor < self.row.until)
    }

    pub const fn width(&self) -> usize {
        self.width
    }

    pub const fn is_in_work(&self) -> bool {
        self.handed_out > self.floor
    }

    /// All that waits, once the row says that the partition is in work.
    pub fn permit_trusted(&mut self) -> Permit {
        if self.ended {
            return Permit::Wait;
        }
        if !self.row.running || self.row.named.is_some() {
            self.row.running = true;
            self.row.named = None;
            self.row.floor = self.floor;
            self.changed();
        }
        Permit::Go(usize::MAX)
    }

    /// One run, once the row names it.
    pub fn permit_alone(&mut self, waiting: usize, position: impl Fn(usize) -> u64) -> Permit {
        if self.ended || self.is_in_work() {
            return Permit::Wait;
        }
        let first = position(0);
        self.row.condemned = self.row.condemned.filter(|condemned| *condemned >= first);
        if self.row.condemned == Some(first) {
            self.name(first + 1, None);
            return Permit::Condemned;
        }
        if self.row.named.is_some_and(|(start, _)| start != first) {
            // Something took its place before what was named: then that is not what would be in work.
            self.run = None;
        }
        let run = match (self.run, self.row.condemned) {
            (Some(end), _) => count_below(end, waiting, &position),
            (None, Some(condemned)) => {
                // They settled before, as the condemned one was handed out after them; but it may be that another one that ended a
                // process comes again.
                self.name(condemned, Some((first, condemned)));
                count_below(condemned, waiting, &position)
            }
            (None, None) => {
                let run = waiting.min(self.width);
                let end = position(run - 1) + 1;
                self.name(end, Some((first, end)));
                run
            }
        };
        Permit::Go(run)
    }

    fn name(&mut self, end: u64, named: Option<(u64, u64)>) {
        if self.run == Some(end) {
            return;
        }
        self.run = Some(end);
        if !self.row.running || self.row.named != named {
            self.row.running = true;
            self.row.named = named;
            self.changed();
        }
    }

    /// Another partition's run is in work, alone: what ends the process now is not of this partition.
    pub fn rest(&mut self) {
        if self.row.running || self.row.named.is_some() {
            self.row.running = false;
            self.row.named = None;
            self.changed();
        }
    }

    pub fn handed_out(&mut self, end: u64) {
        self.handed_out = self.handed_out.max(end);
        self.run = None;
    }

    pub fn settled(&mut self, floor: u64) {
        // What is told twice is no progress.
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        if self.is_in_work() {
            return;
        }
        self.row.condemned = self.row.condemned.filter(|at| *at >= self.floor);
        if self.row.deaths == 0 || self.row.condemned.is_some() || self.floor < self.row.until {
            return;
        }
        if self.row.deaths == 1 && self.width < LAST_WIDTH {
            self.width *= 4;
        } else {
            self.trust();
        }
    }

    /// Nothing of it is in work, and nothing more may be handed out of it for now: others need not wait, and what ends the process
    /// is not of this partition.
    pub fn pauses(&mut self) {
        self.run = None;
        self.handed_out = self.floor;
        self.rest();
    }

    pub fn goes_on_from(&mut self, to: u64) {
        self.floor = self.floor.min(to);
        self.handed_out = self.floor;
    }

    pub fn nothing_waits(&mut self) {
        if !self.is_in_work() && self.run.is_none() && self.is_suspect() {
            self.trust();
        }
    }

    /// What is kept is void from the moment that it is written; nothing else is handed out before.
    fn trust(&mut self) {
        self.row.deaths = 0;
        self.row.until = self.floor;
        self.row.condemned = None;
        self.row.running = false;
        self.row.named = None;
        self.changed();
    }

    pub fn end(&mut self) {
        self.ended = true;
        self.rest();
    }

    const fn changed(&mut self) {
        self.queued = true;
        self.unwritten = true;
    }

    pub fn write(&mut self) -> PartitionAttempt {
        self.queued = false;
        self.row.clone()
    }

    pub const fn written(&mut self) {
        self.unwritten = self.queued;
    }
}

/// What follows from the end of the last process that had the partition.
fn judge(name: &str, floor: u64, kept: PartitionAttempt) -> PartitionAttempt {
    let (died, moved) = (kept.running, floor > kept.floor);
    let singly = kept.deaths >= DEATHS_BEFORE_SINGLY;
    let mut row = PartitionAttempt {
        partition: name.to_owned(),
        floor,
        running: false,
        named: None,
        ..kept
    };
    if died {
        let in_work = kept.named.map_or(floor, |(_, end)| end);
        row.until = row.until.max(in_work);
        row.deaths += u32::from(!moved && !singly);
        // Where one is condemned already, what was named goes before it: whatever ends the process there is found first.
        if let Some((at, end)) = kept.named {
            row.condemned = (singly && end == at + 1).then_some(at);
        }
    }
    row.condemned = row.condemned.filter(|at| *at >= floor);
    let passed = moved && floor >= row.until && row.condemned.is_none();
    if passed || (moved && !singly) {
        row.deaths = 0;
    }
    row
}

/// How many messages may be in work at once.
fn width(deaths: u32) -> usize {
    match deaths {
        0 => FIRST_WIDTH,
        1 => 256,
        2 => 64,
        3 => 16,
        4 => 4,
        _ => 1,
    }
}

/// How many of the first waiting positions are below `end`.
fn count_below(end: u64, waiting: usize, position: impl Fn(usize) -> u64) -> usize {
    (0..waiting).take_while(|at| position(*at) < end).count()
}
