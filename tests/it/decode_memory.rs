//! What decoding holds in memory: decoded bytes count against the in-flight limit, also those of small compressed bodies.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hookflow::decode::operator::{DecodeContext, decoded};
use hookflow::decode::{DecodeConfig, Decoded, decode};
use hookflow::epoch::{Clock, Epoch, MonotonicClock};
use hookflow::event::{Delivery, Headers, Origin, Provider, User};
use hookflow::metrics::{LocalMetrics, Metrics, WorkerMetrics};
use hookflow::quarantine::{Quarantine, WorkerQuarantine};
use hookflow::source::bridge::{Bridge, bridge};
use hookflow::source::in_flight::{InFlight, InFlightLimit};
use hookflow::source::{EnvelopeDefaults, Record, RecordReceivers, RecordSender, Records};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

const DELIVERIES: u64 = 40;
const EVENTS: usize = 2_000;
const LIMIT: InFlightLimit = InFlightLimit {
    events_max: 10_000_000,
    bytes_max: 4 << 20,
};

/// A small compressed body of many events.
fn packed(offset: u64) -> Arc<Delivery> {
    let elements: Vec<_> = (0..EVENTS)
        .map(|n| format!(r#"{{"event":"open","sg_event_id":"{offset}-{n}"}}"#))
        .collect();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let body = format!("[{}]", elements.join(","));
    packer.write_all(body.as_bytes()).unwrap();
    Arc::new(Delivery {
        origin: Origin {
            partition: 0,
            offset,
        },
        provider: Provider::new("sendgrid"),
        user: User::new("u"),
        headers: Headers::from_pairs([("content-encoding", "gzip")]),
        body: packer.finish().unwrap().into(),
        ..Delivery::default()
    })
}

/// One run of records that holds them all.
fn run_of(deliveries: &[Arc<Delivery>]) -> Records {
    let records: Vec<_> = deliveries
        .iter()
        .map(|delivery| Record::Ready(Arc::clone(delivery)))
        .collect();
    Records {
        partition: 0,
        start: 0,
        end: deliveries.len() as u64,
        bytes: records.iter().map(Record::bytes).sum(),
        records,
        due: None,
    }
}

fn decoded_bytes(delivery: &Arc<Delivery>) -> usize {
    let mut out = Decoded::default();
    decode(delivery, &DecodeConfig::default(), &mut out);
    assert_eq!(out.events.len(), EVENTS);
    out.bytes
}

/// A bridge and a decoder that share an in-flight table.
fn parts(
    receivers: &RecordReceivers,
    clock: Arc<dyn Clock>,
    in_flight: &Rc<RefCell<InFlight>>,
) -> (Bridge, DecodeContext) {
    let quarantine = WorkerQuarantine::new(&Quarantine::off(), 0, receivers.partition_ids.clone());
    let quarantine = Rc::new(RefCell::new(quarantine));
    let bridged = Bridge {
        records: receivers.workers[0].clone(),
        in_flight: Rc::clone(in_flight),
        limit: LIMIT,
        clock,
        tick: Duration::from_millis(1),
        draining: Arc::default(),
        pressed: Arc::default(),
        quarantine: Rc::clone(&quarantine),
        before_writers: ProbeHandle::new(),
    };
    let counts: WorkerMetrics =
        Rc::new(RefCell::new(LocalMetrics::new(Metrics::new(["sendgrid"]))));
    let context = DecodeContext {
        config: Arc::default(),
        defaults: Arc::new(EnvelopeDefaults {
            user: User::new("default"),
            provider: None,
            known: [Provider::new("sendgrid")].into(),
        }),
        counts,
        in_flight: Rc::clone(in_flight),
        limit: LIMIT,
        quarantine,
    };
    (bridged, context)
}

#[test]
fn one_run_of_compressed_deliveries_stays_within_the_in_flight_limit() {
    let deliveries: Vec<_> = (0..DELIVERIES).map(packed).collect();
    let run = run_of(&deliveries);
    let (raw, of_one) = (run.bytes, decoded_bytes(&deliveries[0]));
    assert!(raw < LIMIT.bytes_max / 2 && of_one * 5 > LIMIT.bytes_max);
    timely::execute_directly(move |worker| {
        let (mut sender, receivers) = RecordSender::channels(1, 1);
        sender.hand_out(run).unwrap();
        drop(sender);
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::start(Duration::from_millis(1)));
        let in_flight: Rc<RefCell<InFlight>> = Rc::default();
        let (bridged, context) = parts(&receivers, clock, &in_flight);
        let seen = Rc::new(Cell::new(0));
        let counted = Rc::clone(&seen);
        let probe = worker.dataflow::<Epoch, _, _>(|scope| {
            let (events, _) = decoded(bridge(scope, bridged), context);
            let events = events.inspect(move |_| counted.set(counted.get() + 1));
            events.probe().0
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut positions, mut most) = (Vec::new(), 0);
        while worker.step_or_park(Some(Duration::from_millis(1))) {
            assert!(Instant::now() < deadline, "the dataflow does not end");
            most = most.max(in_flight.borrow().bytes());
            let frontier = probe.with_frontier(|frontier| frontier.first().copied());
            let closed = in_flight
                .borrow_mut()
                .close_before(frontier, Duration::ZERO);
            if !closed.ranges.is_empty() {
                assert_eq!(
                    seen.get(),
                    DELIVERIES as usize * EVENTS,
                    "settled too early"
                );
            }
            positions.extend(closed.ranges);
        }
        positions.extend(
            in_flight
                .borrow_mut()
                .close_before(None, Duration::ZERO)
                .ranges,
        );
        assert_eq!(seen.get(), DELIVERIES as usize * EVENTS);
        let spans: Vec<_> = positions.iter().map(|at| (at.start, at.end)).collect();
        assert_eq!(spans, [(0, DELIVERIES)]);
        assert_eq!(in_flight.borrow().bytes(), 0);
        let bound = LIMIT.bytes_max + of_one + (1 << 20);
        assert!(
            most > LIMIT.bytes_max && most <= bound,
            "{most} of {bound} bytes"
        );
    });
}
