//! A generated world of mail: deliveries in the real formats of all providers, their recipients, and a journal of the truth.
//!
//! A seed and [`GeneratorConfig`] determine every byte, on every machine. Users are skewed like 1/n; a batch goes through one
//! provider; each message lives from sent to delivered or bounced, opened, clicked; deliveries come twice, late, out of
//! order and now and then broken. Most recipients are known to the first snapshot, some only to the second, a few to
//! none; at least half of them can only be found by joining their message ids.
//!
//! * [`Generator`]: all deliveries in their order of arrival, one after the other;
//! * [`GeneratorStream`]: the same rendered ahead of need, for one world or without end;
//! * [`write_to`]: the same as files, with snapshots, batches and a [`journal`] of what is true.

mod build;
mod config;
mod delivery_plan;
mod format;
pub mod journal;
mod lifecycle;
mod names;
mod render;
mod rng;
mod rows;
mod stream;
mod text;
mod time;
mod world;
mod write;

use std::sync::Arc;

use bytes::Bytes;

pub use self::config::{GeneratorConfig, Rates};
use self::render::RenderedRequest;
pub use self::rows::{SenderTables, SnapshotRow};
pub use self::stream::{GeneratorOutput, GeneratorStream, PreparedRecord, Supply};
use self::world::KnownSince;
pub use self::world::World;
pub use self::write::{
    COMPLETE, JournalTotals, SnapshotFormat, WrittenWorld, is_complete, write_to,
};
use crate::event::Delivery;

/// What comes next.
#[derive(Clone, Debug)]
pub enum GeneratorItem {
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
    request: RenderedRequest,
}

/// After how many deliveries the second snapshot comes.
const fn late_place(deliveries: usize) -> usize {
    deliveries / 5 * 3
}

impl Generator {
    /// Plans the world of these config; rendering happens as items are taken.
    pub fn new(config: GeneratorConfig) -> Self {
        Self {
            world: build::build(config),
            next: 0,
            late_sent: false,
            request: RenderedRequest::default(),
        }
    }

    /// The world: what [`journal::write`] describes.
    pub const fn world(&self) -> &World {
        &self.world
    }
}

impl Iterator for Generator {
    type Item = GeneratorItem;

    fn next(&mut self) -> Option<GeneratorItem> {
        if !self.late_sent && self.next >= late_place(self.world.order.len()) {
            self.late_sent = true;
            return Some(GeneratorItem::Late(rows::rows(
                &self.world,
                KnownSince::Late,
            )));
        }
        let copy = *self.world.order.get(self.next)?;
        let place = self.next as u64;
        self.next += 1;
        if let Some(delivery) = render::delivery(&self.world, copy, place, &mut self.request) {
            return Some(GeneratorItem::Delivery(Arc::new(delivery)));
        }
        let mut line = Vec::new();
        render::line(&self.world, copy, &mut self.request, &mut line);
        line.pop();
        Some(GeneratorItem::Line(line.into()))
    }
}
