//! A world of mail: deliveries in the real formats of all providers, the recipients they belong to, and the truth.
//!
//! A seed and [`Settings`] determine every byte, on every machine. Users are skewed like 1/n; a batch goes through one
//! provider; each message lives from sent to delivered or bounced, opened, clicked; deliveries come twice, late, out of
//! order and now and then broken. Most recipients are known to the first snapshot, some only to the second, a few to
//! none; at least half of them can only be found by joining their message ids.
//!
//! * [`Generator`]: all deliveries in their order of arrival, one after the other;
//! * [`Ahead`]: the same rendered ahead of need, for one world or without end;
//! * [`write_to`]: the same as files, with snapshots, batches and a [`journal`] of what is true.

mod ahead;
mod build;
mod dice;
mod format;
pub mod journal;
mod life;
mod names;
mod render;
mod rows;
mod settings;
mod ship;
mod text;
mod time;
mod world;
mod write;

use std::sync::Arc;

use bytes::Bytes;

pub use self::ahead::{Ahead, Piece, Prepared, Supply};
use self::render::Request;
pub use self::rows::{SnapshotRow, Tables};
pub use self::settings::{Rates, Settings};
use self::world::Known;
pub use self::world::World;
pub use self::write::{COMPLETE, SnapshotFormat, Totals, Written, is_complete, write_to};
use crate::event::Delivery;

/// What comes next.
#[derive(Clone, Debug)]
pub enum Item {
    /// A request.
    Delivery(Arc<Delivery>),
    /// A line that is no delivery, without its end.
    Line(Bytes),
    /// The second snapshot: comes once, when three fifths of the deliveries are out.
    Late(Vec<SnapshotRow>),
}

/// All deliveries of a world, in the order in which they arrive.
#[derive(Debug)]
pub struct Generator {
    world: World,
    next: usize,
    late_sent: bool,
    request: Request,
}

/// After how many deliveries the second snapshot comes.
const fn late_place(deliveries: usize) -> usize {
    deliveries / 5 * 3
}

impl Generator {
    /// Plans the world of these settings; rendering happens as items are taken.
    pub fn new(settings: Settings) -> Self {
        Self {
            world: build::build(settings),
            next: 0,
            late_sent: false,
            request: Request::default(),
        }
    }

    /// The world: what [`journal::write`] describes.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The sender's tables.
    pub fn plan(&self) -> Plan {
        let mut batches = Vec::new();
        for batch in &self.world.batches {
            rows::write_batch(&self.world, batch, &mut batches);
        }
        Plan {
            snapshot: rows::rows(&self.world, Known::Early),
            late: rows::rows(&self.world, Known::Late),
            batches_jsonl: batches.into(),
        }
    }
}

/// The sender's tables.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first snapshot.
    pub snapshot: Vec<SnapshotRow>,
    /// What only the second holds.
    pub late: Vec<SnapshotRow>,
    /// The `batches` rows, as JSON lines.
    pub batches_jsonl: Bytes,
}

impl Iterator for Generator {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if !self.late_sent && self.next >= late_place(self.world.order.len()) {
            self.late_sent = true;
            return Some(Item::Late(rows::rows(&self.world, Known::Late)));
        }
        let copy = *self.world.order.get(self.next)?;
        let place = self.next as u64;
        self.next += 1;
        if let Some(delivery) = render::delivery(&self.world, copy, place, &mut self.request) {
            return Some(Item::Delivery(Arc::new(delivery)));
        }
        let mut line = Vec::new();
        render::line(&self.world, copy, &mut self.request, &mut line);
        line.pop();
        Some(Item::Line(line.into()))
    }
}
