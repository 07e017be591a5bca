//! The generator as a source: an open loop at a chosen rate, or as fast as deliveries are taken.
//!
//! Contract: deliveries are rendered ahead of need by a thread of their own ([`Supply`]). At a rate, delivery n is due n/rate
//! after the start and bears that time as its `received_at`, whenever it was really taken: a job that falls behind shows
//! it as latency (no coordinated omission). Without a rate `received_at` is the time of handing out. Either way it is not the
//! time that the journal lists. Positions are numbers of deliveries in partition 0. Rows that become known on the way are told
//! as [`NewRows`]: the second snapshot of each world once, when three fifths of its deliveries are out, and the first one of
//! a world that follows before its deliveries begin.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, select};

use super::{PartitionEvent, Record, RecordSender, Records, Stopped};
use crate::event::{Delivery, Millis, Origin};
use crate::generator::{Ahead, Piece, Prepared, Settings, Supply, Tables};

/// Most deliveries of a parcel.
const PARCEL: usize = 256;
/// The shortest wait: deliveries that are due within it are handed out together.
const TICK: Duration = Duration::from_millis(1);

/// A generated world as a source, or worlds without end.
pub struct GeneratorSource {
    ahead: Ahead,
}

/// Rows that become known while deliveries are handed out.
pub struct NewRows {
    /// The rows.
    pub tables: Tables,
    /// To be dropped when they are known: the source waits for that before deliveries that need them.
    pub known: Sender<()>,
}

/// How a [`GeneratorSource`] runs.
pub struct Pace {
    /// Deliveries a second; none or not above zero: as fast as they are taken.
    pub rate: Option<f64>,
    /// A message, or its sender's end, stops the run.
    pub stop: Receiver<()>,
    /// Gets the rows that become known.
    pub rows: Option<Sender<NewRows>>,
}

/// Processor time that a running generator used: not the job's.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<AtomicU64>);

impl Spent {
    /// So far.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl GeneratorSource {
    /// Plans the (first) world, and begins to render it.
    pub fn prepare(settings: Settings, supply: Supply) -> io::Result<Self> {
        let ahead = Ahead::start(settings, supply)?;
        Ok(Self { ahead })
    }

    /// How many deliveries there are, if they end.
    pub const fn deliveries(&self) -> Option<usize> {
        self.ahead.deliveries
    }

    /// What the first world's sender knows, to be loaded before the run.
    pub const fn tables(&self) -> &Tables {
        &self.ahead.tables
    }

    /// What planning and rendering use.
    pub fn spent(&self) -> Spent {
        Spent(Arc::clone(&self.ahead.spent))
    }

    /// Hands everything out; returns at the end, or when it is stopped.
    pub fn run(self, mut feed: RecordSender, pace: &Pace) -> Result<(), Stopped> {
        feed.tell(PartitionEvent::Begins {
            partition: 0,
            name: "generator".into(),
            offset: 0,
            length: self.ahead.deliveries.map(|length| length as u64),
        })?;
        let mut open_loop = OpenLoop::start(pace);
        let mut unknown = Vec::new();
        while let Some(piece) = next_piece(&self.ahead.pieces, pace)? {
            match piece {
                Piece::Deliveries(prepared) => open_loop.hand_out(prepared, &mut feed)?,
                Piece::Tables(tables) => tell(pace, tables, &mut unknown),
                Piece::Border => await_all(pace, &mut unknown)?,
            }
        }
        feed.tell(PartitionEvent::Ended {
            partition: 0,
            offset: open_loop.next as u64,
        })
    }
}

/// The next piece; none at the end.
fn next_piece(pieces: &Receiver<Piece>, pace: &Pace) -> Result<Option<Piece>, Stopped> {
    select! {
        recv(pieces) -> piece => Ok(piece.ok()),
        recv(pace.stop) -> _ => Err(Stopped),
    }
}

/// Tells rows; `unknown` remembers those that deliveries will have to wait for. A loader that is gone needs no rows.
fn tell(pace: &Pace, tables: Tables, unknown: &mut Vec<Receiver<()>>) {
    let Some(rows) = &pace.rows else { return };
    let (known, told) = crossbeam_channel::bounded(0);
    if tables.is_whole {
        unknown.push(told);
    }
    drop(rows.send(NewRows { tables, known }));
}

fn await_all(pace: &Pace, unknown: &mut Vec<Receiver<()>>) -> Result<(), Stopped> {
    for told in unknown.drain(..) {
        select! {
            recv(told) -> _ => {}
            recv(pace.stop) -> _ => return Err(Stopped),
        }
    }
    Ok(())
}

/// Which deliveries are due.
struct OpenLoop<'a> {
    pace: &'a Pace,
    started: Instant,
    wall_at_start: i64,
    next: usize,
}

impl<'a> OpenLoop<'a> {
    fn start(pace: &'a Pace) -> Self {
        Self {
            pace,
            started: Instant::now(),
            wall_at_start: Millis::now().0,
            next: 0,
        }
    }

    fn hand_out(
        &mut self,
        prepared: Vec<Prepared>,
        feed: &mut RecordSender,
    ) -> Result<(), Stopped> {
        let mut left = prepared.into_iter();
        while let Some(count) = self.due(left.len())? {
            let records: Vec<Record> = left
                .by_ref()
                .take(count)
                .map(|one| self.record(one))
                .collect();
            self.handed_out(records, feed)?;
        }
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        self.pace
            .rate
            .filter(|rate| *rate > 0.0 && rate.is_finite())
    }

    /// When a delivery is due, after the start.
    fn due_at(&self, place: usize, rate: f64) -> Duration {
        Duration::try_from_secs_f64(place as f64 / rate).unwrap_or(Duration::MAX)
    }

    /// Waits until something is due; how much is, up to a parcel; none if nothing is left.
    fn due(&self, left: usize) -> Result<Option<usize>, Stopped> {
        if left == 0 {
            return Ok(None);
        }
        let Some(rate) = self.rate() else {
            self.stopped()?;
            return Ok(Some(PARCEL.min(left)));
        };
        loop {
            let now = self.started.elapsed();
            let due = (now.as_secs_f64() * rate) as usize + 1;
            let count = due.saturating_sub(self.next).min(PARCEL).min(left);
            if count > 0 {
                self.stopped()?;
                return Ok(Some(count));
            }
            let wait = self.due_at(self.next, rate).saturating_sub(now);
            self.wait(wait.max(TICK))?;
        }
    }

    fn stopped(&self) -> Result<(), Stopped> {
        match self.pace.stop.try_recv() {
            Err(TryRecvError::Empty) => Ok(()),
            _ => Err(Stopped),
        }
    }

    fn wait(&self, time: Duration) -> Result<(), Stopped> {
        match self.pace.stop.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }

    fn record(&mut self, one: Prepared) -> Record {
        let place = self.next;
        self.next += 1;
        let origin = Origin {
            partition: 0,
            offset: place as u64,
        };
        let after = match self.rate() {
            Some(rate) => self.due_at(place, rate),
            None => self.started.elapsed(),
        };
        let received_at = Millis(
            self.wall_at_start
                .saturating_add_unsigned(after.as_millis() as u64),
        );
        match one {
            Prepared::Line(line) => Record::Line(origin, line),
            Prepared::Delivery(delivery) => Record::Ready(Arc::new(Delivery {
                origin,
                received_at,
                ..delivery
            })),
        }
    }

    fn handed_out(&self, records: Vec<Record>, feed: &mut RecordSender) -> Result<(), Stopped> {
        let first = self.next - records.len();
        let due = self
            .rate()
            .map(|rate| self.started + self.due_at(first, rate));
        feed.hand_out(Records {
            due,
            partition: 0,
            start: (self.next - records.len()) as u64,
            end: self.next as u64,
            bytes: records.iter().map(Record::bytes).sum(),
            records,
        })
    }
}
