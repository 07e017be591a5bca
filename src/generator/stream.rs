//! A stream of rendered deliveries: a thread plans worlds and renders ahead of need, as far as its channel lets it.
//!
//! Contract: pieces come in the order in which they are to be handed out. [`GeneratorOutput::Tables`] come well before the deliveries
//! that concern them, and [`GeneratorOutput::WorldStart`] stands right before the first of those. Memory: what waits in the channel (about
//! 1.5 KiB a delivery), one world that is rendered and, without an end, the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, SendError, Sender, TrySendError};

use super::build::build;
use super::config::GeneratorConfig;
use super::late_place;
use super::render::{self, RenderedRequest};
use super::rows::SenderTables;
use super::text::mix;
use super::world::{KnownSince, World};
use crate::event::Delivery;

/// How the deliveries of a generator come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// One world, rendered before the first delivery is handed out, so that rendering costs nothing while they are (of
    /// more than a million deliveries, the first million).
    Beforehand,
    /// One world, rendered while it is handed out.
    Meanwhile,
    /// World after world, each of the asked size, with a seed made of the first one's.
    Endless,
}

impl Supply {
    /// How many chunks may wait.
    const fn chunks_max(self) -> usize {
        match self {
            Supply::Beforehand => 1_000_000 / CHUNK,
            Supply::Meanwhile | Supply::Endless => 32,
        }
    }
}

/// Deliveries of one piece.
const CHUNK: usize = 1_000;

/// A rendered record; whoever hands it out sets its time of receipt.
pub enum PreparedRecord {
    /// A delivery.
    Delivery(Delivery),
    /// A line that is no delivery.
    Line(Bytes),
}

/// What the stream gives next.
pub enum GeneratorOutput {
    /// Deliveries.
    Deliveries(Vec<PreparedRecord>),
    /// Rows that become known now.
    Tables(SenderTables),
    /// The deliveries that follow are those of the world whose tables were sent last as a whole.
    WorldStart,
}

/// The receiving end.
pub struct GeneratorStream {
    /// The pieces, until the end of the last world.
    pub pieces: Receiver<GeneratorOutput>,
    /// Processor time that planning and rendering used, in nanoseconds.
    pub spent: Arc<AtomicU64>,
    /// How many deliveries there are, if they end.
    pub deliveries: Option<usize>,
    /// The first world's tables as they are before its first delivery.
    pub tables: SenderTables,
}

impl GeneratorStream {
    /// Plans the first world and starts the thread; with [`Supply::Beforehand`], waits until enough is rendered.
    pub fn start(config: GeneratorConfig, supply: Supply) -> io::Result<Self> {
        let world = build(config);
        let (sender, pieces) = crossbeam_channel::bounded(supply.chunks_max());
        let (full, filling) = crossbeam_channel::bounded(0);
        let ahead = Self {
            pieces,
            spent: Arc::default(),
            deliveries: (supply != Supply::Endless).then_some(world.order.len()),
            tables: SenderTables::whole(&world),
        };
        let renderer = Renderer {
            pieces: sender,
            full: Some(full),
            spent: Arc::clone(&ahead.spent),
            request: RenderedRequest::default(),
        };
        std::thread::Builder::new()
            .name("generator".into())
            .spawn(move || renderer.run(world, supply))?;
        if supply == Supply::Beforehand {
            // Disconnected: the channel is full, or everything is rendered.
            filling.recv().unwrap_or_default();
        }
        Ok(ahead)
    }
}

struct Renderer {
    pieces: Sender<GeneratorOutput>,
    /// Dropped when the channel is full for the first time.
    full: Option<Sender<()>>,
    spent: Arc<AtomicU64>,
    request: RenderedRequest,
}

/// The receiver has ended.
struct ReceiverGone;

impl<T> From<SendError<T>> for ReceiverGone {
    fn from(_: SendError<T>) -> Self {
        ReceiverGone
    }
}

impl Renderer {
    fn run(mut self, world: World, supply: Supply) {
        let ended = match supply {
            Supply::Endless => self.for_ever(world),
            Supply::Beforehand | Supply::Meanwhile => self.world(&world, None),
        };
        if ended.is_err() {
            tracing::debug!("the generator was stopped before its end");
        }
    }

    fn for_ever(&mut self, mut world: World) -> Result<(), ReceiverGone> {
        for number in 1.. {
            let next = build(following(&world, number));
            self.world(&world, Some(&next))?;
            self.hand_over(GeneratorOutput::WorldStart)?;
            world = next;
        }
        Ok(())
    }

    /// All of one world: its second snapshot when three fifths are out, and the next world's tables at half.
    fn world(&mut self, world: &World, next: Option<&World>) -> Result<(), ReceiverGone> {
        let (half, late) = (world.order.len() / 2, late_place(world.order.len()));
        for (start, copies) in (0..).step_by(CHUNK).zip(world.order.chunks(CHUNK)) {
            let chunk = start..start + copies.len();
            if let Some(next) = next.filter(|_| chunk.contains(&half)) {
                self.hand_over(GeneratorOutput::Tables(SenderTables::whole(next)))?;
            }
            let (before, after) = copies.split_at(late.saturating_sub(start).min(copies.len()));
            self.deliveries(world, start, before)?;
            if chunk.contains(&late) {
                self.hand_over(GeneratorOutput::Tables(SenderTables::part(
                    world,
                    KnownSince::Late,
                )))?;
            }
            self.deliveries(world, start + before.len(), after)?;
        }
        Ok(())
    }

    fn deliveries(
        &mut self,
        world: &World,
        start: usize,
        copies: &[u32],
    ) -> Result<(), ReceiverGone> {
        if copies.is_empty() {
            return Ok(());
        }
        let prepared = (start as u64..)
            .zip(copies)
            .map(|(place, copy)| prepare(world, *copy, place, &mut self.request))
            .collect();
        self.hand_over(GeneratorOutput::Deliveries(prepared))
    }

    fn hand_over(&mut self, piece: GeneratorOutput) -> Result<(), ReceiverGone> {
        self.spent.store(processor_time(), Ordering::Relaxed);
        match self.pieces.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(ReceiverGone),
            Err(TrySendError::Full(piece)) => {
                self.full = None;
                Ok(self.pieces.send(piece)?)
            }
        }
    }
}

fn prepare(world: &World, copy: u32, place: u64, request: &mut RenderedRequest) -> PreparedRecord {
    if let Some(delivery) = render::delivery(world, copy, place, request) {
        return PreparedRecord::Delivery(delivery);
    }
    let mut line = Vec::new();
    render::line(world, copy, request, &mut line);
    line.pop();
    PreparedRecord::Line(line.into())
}

/// How many worlds follow each other in time before the clock is set back to the first one's.
const WORLDS_IN_TIME: u64 = 20_000;

/// The config of the world after this one: other messages, other batches, the same people, and a later time.
fn following(world: &World, number: u64) -> GeneratorConfig {
    let config = &world.config;
    let later = match number % WORLDS_IN_TIME {
        0 => -config.span_ms * (WORLDS_IN_TIME as i64 - 1),
        _ => config.span_ms,
    };
    GeneratorConfig {
        seed: mix(config.seed, number | 1 << 43),
        start_ms: config.start_ms + later,
        batches_before: config
            .batches_before
            .wrapping_add(world.batches.len() as u32),
        ..config.clone()
    }
}

/// What this thread used, in nanoseconds.
fn processor_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let time = Duration::try_from(time).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn small(supply: Supply) -> GeneratorStream {
        let config = GeneratorConfig {
            deliveries: 2_500,
            users: 20,
            ..GeneratorConfig::default()
        };
        GeneratorStream::start(config, supply).unwrap()
    }

    fn bodies(prepared: &[PreparedRecord]) -> impl Iterator<Item = &Bytes> {
        prepared.iter().filter_map(|one| match one {
            PreparedRecord::Delivery(delivery) => Some(&delivery.body),
            PreparedRecord::Line(_) => None,
        })
    }

    #[test]
    fn one_world_ends_and_however_it_is_supplied_it_is_the_same() {
        let all = |supply| {
            let ahead = small(supply);
            let deliveries: Vec<Bytes> = ahead
                .pieces
                .iter()
                .filter_map(|piece| match piece {
                    GeneratorOutput::Deliveries(prepared) => {
                        Some(bodies(&prepared).cloned().collect::<Vec<_>>())
                    }
                    GeneratorOutput::Tables(tables) => {
                        assert!(!tables.is_whole && !tables.recipients.is_empty());
                        None
                    }
                    GeneratorOutput::WorldStart => None,
                })
                .flatten()
                .collect();
            assert!(ahead.deliveries.unwrap() >= deliveries.len());
            deliveries
        };
        assert!(all(Supply::Beforehand) == all(Supply::Meanwhile));
    }

    #[test]
    fn without_an_end_worlds_follow_each_other_and_each_is_announced_before_it_begins() {
        let ahead = small(Supply::Endless);
        assert_eq!(ahead.deliveries, None);
        let (mut announced, mut borders) = (0, 0);
        let mut seen: Vec<HashSet<Vec<u8>>> = vec![HashSet::new()];
        let mut batches: HashSet<String> = ids(&ahead.tables);
        for piece in &ahead.pieces {
            match piece {
                GeneratorOutput::Tables(tables) if tables.is_whole => {
                    announced += 1;
                    let new = ids(&tables);
                    assert!(batches.is_disjoint(&new), "a batch belongs to one world");
                    batches.extend(new);
                }
                GeneratorOutput::Tables(_) => {}
                GeneratorOutput::WorldStart => {
                    borders += 1;
                    assert_eq!(announced, borders, "announced before it begins");
                    seen.push(HashSet::new());
                }
                GeneratorOutput::Deliveries(prepared) => {
                    let world = seen.last_mut().unwrap();
                    let long = bodies(&prepared).filter(|body| body.len() > 100);
                    world.extend(long.map(|body| body.to_vec()));
                }
            }
            if borders == 4 {
                break;
            }
        }
        let sum: usize = seen.iter().map(HashSet::len).sum();
        let all: HashSet<Vec<u8>> = seen.into_iter().flatten().collect();
        assert_eq!(sum, all.len(), "no body comes in two worlds");
    }

    fn ids(tables: &SenderTables) -> HashSet<String> {
        let rows = tables.recipients.iter().map(|row| row.batch_id.clone());
        rows.filter(|id| !id.is_empty()).collect()
    }

    #[test]
    fn a_thread_whose_pieces_nobody_takes_ends() {
        let ahead = small(Supply::Endless);
        let spent = Arc::downgrade(&ahead.spent);
        drop(ahead);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while spent.upgrade().is_some() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
}
