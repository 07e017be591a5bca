//! The decode operator: records in, events and rejects out.
//!
//! * **Pact**: none (pipeline): decoding happens on whichever worker took the records, so it scales with the workers.
//! * **Bound**: decoded bytes count against the in-flight limit. Where they reach it, the operator keeps records that are not
//!   decoded yet until decoded ones are settled, so no more than the limit and what one slice of records decodes to is
//!   in memory.
//! * **State**: those records. **Capabilities**: theirs, moved behind the last epoch that holds decoded bytes, which can
//!   then be settled.
//! * **Cost**: the parse of an envelope and a body; this is the most expensive step of the job.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::waiting::{WaitingRecords, WaitingRun};
use super::{DecodeConfig, Decoded, decode, poison};
use crate::epoch::Epoch;
use crate::event::{Delivery, Event, Reject};
use crate::metrics::{Counter, LocalMetrics, Step, WorkerMetrics};
use crate::quarantine::WorkerQuarantine;
use crate::source::envelope::parse_line;
use crate::source::in_flight::{InFlight, InFlightLimit};
use crate::source::{EnvelopeDefaults, Record, Records, message};

/// Records are decoded until they give this many bytes; then the in-flight limit is checked again.
const SLICE_BYTES: usize = 1 << 20;

/// How often a full operator checks whether something was settled.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What one worker's decoding needs.
#[derive(Clone)]
pub struct DecodeContext {
    /// Limits and names.
    pub config: Arc<DecodeConfig>,
    /// What envelopes leave out.
    pub defaults: Arc<EnvelopeDefaults>,
    /// The worker's counts.
    pub counts: WorkerMetrics,
    /// What is in flight on this worker: decoded events and bytes are added to it.
    pub in_flight: Rc<RefCell<InFlight>>,
    /// How much may be in flight on this worker.
    pub limit: InFlightLimit,
    /// Names what is decoded.
    pub quarantine: Rc<RefCell<WorkerQuarantine>>,
}

/// Decodes records into events and rejects.
pub fn decoded<'scope>(
    runs: StreamVec<'scope, Epoch, Records>,
    context: DecodeContext,
) -> (
    StreamVec<'scope, Epoch, Event>,
    StreamVec<'scope, Epoch, Reject>,
) {
    let scope = runs.scope();
    let mut builder = OperatorBuilder::new("Decode".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut input = builder.new_input(runs, Pipeline);
    let (events_out, events) = builder.new_output::<Vec<Event>>();
    let (rejects_out, rejects) = builder.new_output::<Vec<Reject>>();
    let mut events_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(events_out);
    let mut rejects_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rejects_out);
    builder.build(move |_capabilities| {
        let (mut decoded, mut waiting) = (Decoded::default(), WaitingRecords::default());
        move |_frontiers| {
            let (mut events_out, mut rejects_out) = (events_out.activate(), rejects_out.activate());
            input.for_each(|cap, runs| waiting.push(&cap, runs));
            let mut in_flight = context.in_flight.borrow_mut();
            while let Some(run) = waiting.next(&mut in_flight, &context.limit) {
                let deliveries = decode_slice(run, &context, &mut decoded);
                let more = decoded.events.len().saturating_sub(deliveries);
                in_flight.grow(*run.events.time(), more, std::mem::take(&mut decoded.bytes));
                events_out
                    .session(&run.events)
                    .give_iterator(decoded.events.drain(..));
                rejects_out
                    .session(&run.rejects)
                    .give_iterator(decoded.rejects.drain(..));
            }
            if !waiting.is_empty() {
                activator.activate_after(LOOK_AGAIN);
            }
        }
    });
    (events, rejects)
}

/// Decodes records of a run until they give enough bytes; returns how many. What is being decoded is named in the worker's slot.
fn decode_slice(run: &mut WaitingRun, context: &DecodeContext, out: &mut Decoded) -> usize {
    let mut counts = context.counts.borrow_mut();
    let mut quarantine = context.quarantine.borrow_mut();
    let started = Instant::now();
    let (mut deliveries, mut bytes, mut control) = (0, 0, 0);
    let mut named = 0;
    while out.bytes < SLICE_BYTES {
        if named == 0 {
            named = quarantine.enter(run.partition, run.records.as_slice());
        }
        let Some(record) = run.records.next() else {
            break;
        };
        named -= 1;
        deliveries += 1;
        bytes += record.bytes() as u64;
        if quarantine.is_poison(run.partition, &record) {
            out.rejects
                .push(poison::dead_letter(&record, &context.defaults));
            continue;
        }
        let before = (out.events.len(), out.rejects.len());
        decode_one(record, context, &mut counts, out);
        control += u64::from(before == (out.events.len(), out.rejects.len()));
    }
    quarantine.leave(*run.events.time(), run.records.len() == 0);
    counts.count(Counter::Received, deliveries);
    counts.count(Counter::ReceivedBytes, bytes);
    counts.count(Counter::Control, control);
    counts.count(Counter::Decoded, out.events.len() as u64);
    if let Ok(divisor) = u32::try_from(deliveries.max(1)) {
        counts.took(Step::Decode, started.elapsed() / divisor, deliveries);
    }
    deliveries as usize
}

fn decode_one(
    record: Record,
    context: &DecodeContext,
    counts: &mut LocalMetrics,
    out: &mut Decoded,
) {
    let before = out.rejects.len();
    match read(record, context, counts) {
        Ok(delivery) => {
            #[cfg(feature = "faults")]
            crate::failpoint::faults::decoding(&delivery.body);
            counts.provider(delivery.provider.as_str(), 1);
            decode(&delivery, &context.config, out);
        }
        Err(reject) => {
            counts.provider(reject.provider.as_str(), 1);
            out.bytes += reject.weight();
            out.rejects.push(*reject);
        }
    }
    trace(out.rejects.get(before..).unwrap_or_default());
}

fn trace(rejects: &[Reject]) {
    for reject in rejects {
        tracing::debug!(
            delivery = %reject.origin,
            index = reject.index,
            stage = reject.stage.name(),
            reason = %reject.reason,
            "rejected"
        );
    }
}

/// Reads a record's envelope, in whatever form it came.
fn read(
    record: Record,
    context: &DecodeContext,
    counts: &mut LocalMetrics,
) -> Result<Arc<Delivery>, Box<Reject>> {
    let limit = context.config.body_bytes_max;
    match record {
        Record::Ready(delivery) => Ok(delivery),
        Record::Line(origin, text) => {
            parse_line(origin, &text, &context.defaults, limit).map(Arc::new)
        }
        Record::Message(message) => {
            let parsed = message::parse(&message, &context.defaults, limit)?;
            counts.count(Counter::EnvelopeDiffers, u64::from(parsed.differs));
            Ok(Arc::new(parsed.delivery))
        }
    }
}
