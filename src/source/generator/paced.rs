//! The generator as a source: an open loop at a chosen rate, or as fast as deliveries are taken.
//!
//! Contract: everything is rendered before the first delivery is handed out, so that rendering is not measured. At a
//! rate, delivery n is due n/rate after the start and bears that time as its `received_at`, whenever it was really
//! taken: a job that falls behind shows it as latency (no coordinated omission). Without a rate `received_at` is the
//! time of handing out. Either way it is not the time that the journal lists. Positions are numbers of deliveries in lane
//! 0. Late snapshot rows are sent once, when three fifths of the deliveries are out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::build::build;
use super::late_place;
use super::render::{self, Request};
use super::rows::{SnapshotRow, rows};
use super::settings::Settings;
use super::world::{Known, World};
use crate::event::{Delivery, Millis, Origin};
use crate::source::{Feed, Notice, Parcel, Record, Stopped};

/// Most deliveries of a parcel.
const PARCEL: usize = 256;
/// The shortest wait: deliveries that are due within it are handed out together.
const TICK: Duration = Duration::from_millis(1);

/// What is handed out, rendered but for its time.
enum Prepared {
    Delivery(Delivery),
    Line(Bytes),
}

/// A generated world as a source.
pub struct GeneratorSource {
    prepared: Vec<Prepared>,
    snapshot: Vec<SnapshotRow>,
    late_rows: Vec<SnapshotRow>,
    late_place: usize,
    world: World,
}

/// How a [`GeneratorSource`] runs.
pub struct Pace {
    /// Deliveries a second; none or not above zero: as fast as they are taken.
    pub rate: Option<f64>,
    /// A message, or its sender's end, stops the run.
    pub stop: Receiver<()>,
    /// Gets the rows of the second snapshot.
    pub late: Option<Sender<Vec<SnapshotRow>>>,
}

impl GeneratorSource {
    /// Plans and renders everything; `progress` is told now and then how many deliveries are ready.
    ///
    /// Memory: all bodies, about 1.5 KiB a delivery.
    pub fn prepare(settings: Settings, mut progress: impl FnMut(u64)) -> Self {
        let world = build(settings);
        let mut request = Request::default();
        let mut prepared = Vec::with_capacity(world.order.len());
        for (place, copy) in (0..).zip(&world.order) {
            prepared.push(prepare_one(&world, *copy, place, &mut request));
            if place % 4_096 == 0 {
                progress(place);
            }
        }
        progress(prepared.len() as u64);
        Self {
            late_place: late_place(prepared.len()),
            prepared,
            snapshot: rows(&world, Known::Early),
            late_rows: rows(&world, Known::Late),
            world,
        }
    }

    /// How many deliveries there are.
    pub const fn len(&self) -> usize {
        self.prepared.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.prepared.is_empty()
    }

    /// The rows of the first snapshot, to be loaded before the run.
    pub fn snapshot(&self) -> &[SnapshotRow] {
        &self.snapshot
    }

    /// The world behind it: its journal and its batches.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Hands everything out; returns at the end, or when it is stopped.
    pub fn run(self, mut feed: Feed, pace: &Pace) -> Result<(), Stopped> {
        let length = self.prepared.len() as u64;
        feed.tell(Notice::Begins {
            lane: 0,
            name: "generator".into(),
            offset: 0,
            length: Some(length),
        })?;
        let mut loop_ = OpenLoop::start(pace);
        let mut left = self.prepared.into_iter();
        let mut late_rows = Some(self.late_rows);
        while let Some(count) = loop_.due(left.len())? {
            let records: Vec<Record> = left
                .by_ref()
                .take(count)
                .map(|one| loop_.record(one))
                .collect();
            loop_.handed_out(records, &mut feed)?;
            if loop_.next >= self.late_place {
                send_late(pace, late_rows.take());
            }
        }
        feed.tell(Notice::Ended {
            lane: 0,
            offset: length,
        })
    }
}

fn prepare_one(world: &World, copy: u32, place: u64, request: &mut Request) -> Prepared {
    if let Some(delivery) = render::delivery(world, copy, place, request) {
        return Prepared::Delivery(delivery);
    }
    let mut line = Vec::new();
    render::line(world, copy, request, &mut line);
    line.pop();
    Prepared::Line(line.into())
}

/// A loader that is gone needs no rows.
fn send_late(pace: &Pace, rows: Option<Vec<SnapshotRow>>) {
    if let (Some(late), Some(rows)) = (&pace.late, rows) {
        drop(late.send(rows));
    }
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

    fn rate(&self) -> Option<f64> {
        self.pace
            .rate
            .filter(|rate| *rate > 0.0 && rate.is_finite())
    }

    /// When a delivery is due, after the start.
    fn due_at(&self, place: usize, rate: f64) -> Duration {
        Duration::try_from_secs_f64(place as f64 / rate).unwrap_or(Duration::MAX)
    }

    /// Waits until something is due; how much is, up to a parcel; none at the end.
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
            lane: 0,
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

    fn handed_out(&self, records: Vec<Record>, feed: &mut Feed) -> Result<(), Stopped> {
        let first = self.next - records.len();
        let due = self
            .rate()
            .map(|rate| self.started + self.due_at(first, rate));
        feed.hand_out(Parcel {
            due,
            lane: 0,
            start: (self.next - records.len()) as u64,
            end: self.next as u64,
            bytes: records.iter().map(Record::bytes).sum(),
            records,
        })
    }
}
