//! The generator as a source: an open loop at a chosen rate, or as fast as deliveries are taken.
//!
//! Contract: deliveries are rendered ahead of need by a thread of their own ([`Supply`]). At a rate, delivery n is due n/rate
//! after the start and bears that time as its `received_at`, whenever it was really taken: a job that falls behind shows
//! it as latency (no coordinated omission). Without a rate `received_at` is the time of handing out. Either way it is not the
//! time that the journal lists. Offsets are numbers of deliveries in partition 0. Rows that become known on the way are sent
//! as [`NewRows`]: the second snapshot of each world once, when three fifths of its deliveries are out, and the first one of
//! a world that follows before its deliveries begin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::connector::{Connector, ProductionTime, Source, SourceError};
use super::context::SourceContext;
use super::pace::Pace;
use super::{PartitionEvent, Record, RecordSender, Records, Stopped};
use crate::error::{Exit, Fatal};
use crate::event::{Delivery, Millis, Origin};
use crate::generator::{
    GeneratorConfig, GeneratorOutput, GeneratorStream, PreparedRecord, SenderTables, Supply,
};

/// Most deliveries of one run of records.
const RUN: usize = 256;
/// The shortest wait: deliveries that are due within it are handed out together.
const TICK: Duration = Duration::from_millis(1);
/// How often a waiting generator checks the stop flag.
const STOP_CHECK: Duration = Duration::from_millis(10);

/// A generated world, or worlds without end.
#[derive(Clone, Debug)]
pub struct GeneratorConnector {
    /// What is generated.
    pub settings: GeneratorConfig,
    /// How far ahead of need deliveries are rendered, and whether they end.
    pub supply: Supply,
    /// How many deliveries a second.
    pub pace: Pace,
}

impl Connector for GeneratorConnector {
    fn name(&self) -> &'static str {
        "generator"
    }

    fn identity(&self) -> String {
        self.name().to_owned()
    }

    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        let source = GeneratorSource::prepare(self).map_err(|error| {
            Fatal::new(
                Exit::Internal,
                format!("no thread for the generator: {error}"),
            )
        })?;
        Ok(Box::new(source))
    }
}

/// A generator that runs.
pub struct GeneratorSource {
    ahead: GeneratorStream,
    pace: Pace,
}

/// Rows that become known while deliveries are handed out.
#[derive(Debug)]
pub struct NewRows {
    /// The rows.
    pub tables: SenderTables,
    /// To be dropped when they are known: the source waits for that before deliveries that need them.
    pub known: Sender<()>,
}

impl GeneratorSource {
    /// Plans the (first) world, and begins to render it.
    pub fn prepare(what: &GeneratorConnector) -> std::io::Result<Self> {
        Ok(Self {
            ahead: GeneratorStream::start(what.settings.clone(), what.supply)?,
            pace: what.pace,
        })
    }

    /// How many deliveries there are, if they end.
    pub const fn deliveries(&self) -> Option<usize> {
        self.ahead.deliveries
    }

    /// Hands everything out; returns at the end, or when it is stopped.
    fn hand_out_all(&self, mut context: SourceContext) -> Result<(), Stopped> {
        context.records.send_event(PartitionEvent::Begins {
            partition: 0,
            name: "generator".into(),
            offset: 0,
            length: self.ahead.deliveries.map(|length| length as u64),
        })?;
        let mut open_loop = OpenLoop::start(self.pace);
        let mut unknown = Vec::new();
        while let Some(piece) = next_piece(&self.ahead.pieces, &context)? {
            match piece {
                GeneratorOutput::Deliveries(prepared) => {
                    open_loop.hand_out(prepared, &mut context)?
                }
                GeneratorOutput::Tables(tables) => send_rows(&context, tables, &mut unknown),
                GeneratorOutput::WorldStart => await_all(&context, &mut unknown)?,
            }
        }
        context.records.send_event(PartitionEvent::Ended {
            partition: 0,
            offset: open_loop.next,
        })
    }
}

impl Source for GeneratorSource {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        if self.hand_out_all(context).is_err() {
            tracing::debug!("the generator was stopped before its end");
        }
        Ok(())
    }

    fn tables(&self) -> Option<&SenderTables> {
        Some(&self.ahead.tables)
    }

    fn production_time(&self) -> ProductionTime {
        ProductionTime(Arc::clone(&self.ahead.spent))
    }
}

/// The next piece; none at the end.
fn next_piece(
    pieces: &Receiver<GeneratorOutput>,
    context: &SourceContext,
) -> Result<Option<GeneratorOutput>, Stopped> {
    loop {
        check_stop(context)?;
        match pieces.recv_timeout(STOP_CHECK) {
            Ok(piece) => return Ok(Some(piece)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn check_stop(context: &SourceContext) -> Result<(), Stopped> {
    if context.is_stopped() {
        Err(Stopped)
    } else {
        Ok(())
    }
}

/// Sends rows; `unknown` remembers those that deliveries will have to wait for. A loader that is gone needs no rows.
fn send_rows(context: &SourceContext, tables: SenderTables, unknown: &mut Vec<Receiver<()>>) {
    let Some(rows) = &context.new_rows else {
        return;
    };
    let (known, loaded) = crossbeam_channel::bounded(0);
    if tables.is_whole {
        unknown.push(loaded);
    }
    drop(rows.send(NewRows { tables, known }));
}

fn await_all(context: &SourceContext, unknown: &mut Vec<Receiver<()>>) -> Result<(), Stopped> {
    for loaded in unknown.drain(..) {
        while loaded.recv_timeout(STOP_CHECK) == Err(RecvTimeoutError::Timeout) {
            check_stop(context)?;
        }
    }
    Ok(())
}

/// Which deliveries are due.
struct OpenLoop {
    pace: Pace,
    started: Instant,
    wall_at_start: i64,
    next: u64,
}

impl OpenLoop {
    fn start(pace: Pace) -> Self {
        Self {
            pace,
            started: Instant::now(),
            wall_at_start: Millis::now().0,
            next: 0,
        }
    }

    fn hand_out(
        &mut self,
        prepared: Vec<PreparedRecord>,
        context: &mut SourceContext,
    ) -> Result<(), Stopped> {
        let mut left = prepared.into_iter();
        while left.len() > 0 {
            let count = self.wait_until_due(left.len(), context)?;
            let records = left.by_ref().take(count).map(|one| self.record(one));
            let records: Vec<Record> = records.collect();
            self.send(records, &mut context.records)?;
        }
        Ok(())
    }

    /// Waits until something is due; answers how much, at most a run.
    fn wait_until_due(&self, left: usize, context: &SourceContext) -> Result<usize, Stopped> {
        loop {
            check_stop(context)?;
            let now = self.started.elapsed();
            let due = self.pace.due(now).saturating_sub(self.next);
            let count = usize::try_from(due).unwrap_or(RUN).min(RUN).min(left);
            if count > 0 {
                return Ok(count);
            }
            let wait = self.pace.wait(self.next, now).unwrap_or(TICK);
            std::thread::park_timeout(wait.clamp(TICK, STOP_CHECK));
        }
    }

    fn record(&mut self, one: PreparedRecord) -> Record {
        let offset = self.next;
        self.next += 1;
        let origin = Origin {
            partition: 0,
            offset,
        };
        let after = self.pace.due_at(offset);
        let after = after.unwrap_or_else(|| self.started.elapsed());
        let received_at = Millis(
            self.wall_at_start
                .saturating_add_unsigned(after.as_millis() as u64),
        );
        match one {
            PreparedRecord::Line(line) => Record::Line(origin, line),
            PreparedRecord::Delivery(delivery) => Record::Ready(Arc::new(Delivery {
                origin,
                received_at,
                ..delivery
            })),
        }
    }

    fn send(&self, records: Vec<Record>, sender: &mut RecordSender) -> Result<(), Stopped> {
        let start = self.next - records.len() as u64;
        sender.hand_out(Records {
            due: self.pace.due_at(start).map(|after| self.started + after),
            partition: 0,
            start,
            end: self.next,
            bytes: records.iter().map(Record::bytes).sum(),
            records,
        })
    }
}
