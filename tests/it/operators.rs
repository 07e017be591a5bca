//! The operators, each on one worker, on three, and with serialisation between two.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use hookflow::dedup;
use hookflow::enrich::arrangement::{Recipients, SnapshotSender, arrange};
use hookflow::enrich::directory::{MapDirectory, MessageRecipient, match_all};
use hookflow::enrich::lookup::enrich;
use hookflow::enrich::{Mapping, RowId};
use hookflow::epoch::{Clock, Epoch, ManualClock, MonotonicClock};
use hookflow::event::{Event, Provider, User};
use hookflow::key::{AddressKey, Identity, JoinKey, RowKey};
use hookflow::metrics::{LocalMetrics, Metrics, WorkerMetrics};
use hookflow::quarantine::{Quarantine, WorkerQuarantine};
use hookflow::sink::operator::{WriteAck, WriteSettings, write};
use hookflow::source::bridge::{Bridge, bridge};
use hookflow::source::in_flight::{InFlight, InFlightLimit};
use hookflow::source::{PartitionIds, Record, RecordSender, Records};
use hookflow::window::WindowLimits;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

use super::support::{event, ways, with_ids};

fn counts() -> WorkerMetrics {
    Rc::new(RefCell::new(LocalMetrics::new(Metrics::new(["ses"]))))
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(MonotonicClock::start(Duration::from_millis(1)))
}

#[test]
fn dedup_lets_each_identity_pass_once_wherever_its_copies_enter() {
    for (way, workers, config) in ways() {
        let passed: Arc<Mutex<Vec<Identity>>> = Arc::default();
        let seen = Arc::clone(&passed);
        let guards = timely::execute(config, move |worker| {
            let seen = Arc::clone(&seen);
            let settings = dedup::DedupSettings {
                ttl: Duration::from_secs(60),
                keys_max: 100_000,
                clock: clock(),
                counts: counts(),
            };
            worker.dataflow::<Epoch, _, _>(|scope| {
                let copies = (0..2_000u64)
                    .map(|n| event(&format!("u{}", n % 50), &(n % 500).to_string(), "m", None));
                let events = copies
                    .collect::<Vec<_>>()
                    .to_stream(scope)
                    .container::<Vec<_>>();
                dedup::dedup(events, settings, dedup::Forgotten::default())
                    .inspect(move |event| seen.lock().unwrap().push(event.identity));
            });
        });
        drop(guards.unwrap());
        let passed = passed.lock().unwrap();
        let distinct: BTreeSet<_> = passed.iter().copied().collect();
        assert_eq!(
            (passed.len(), distinct.len()),
            (500, 500),
            "{way} ({workers})"
        );
    }
}

#[test]
fn dedup_lets_a_dead_lettered_key_pass_again() {
    let passed = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&passed);
    timely::execute_directly(move |worker| {
        let forgotten = dedup::Forgotten::default();
        let mut input = timely::dataflow::InputHandle::<
            Epoch,
            timely::container::CapacityContainerBuilder<Vec<Event>>,
        >::new();
        let settings = dedup::DedupSettings {
            ttl: Duration::from_secs(60),
            keys_max: 1_000,
            clock: Arc::new(ManualClock::default()),
            counts: counts(),
        };
        let taken_out = Rc::clone(&forgotten);
        let probe = worker.dataflow::<Epoch, _, _>(|scope| {
            use timely::dataflow::operators::Input;
            let events = scope.input_from(&mut input);
            let counted = Arc::clone(&seen);
            dedup::dedup(events, settings, forgotten)
                .inspect(move |_| {
                    counted.fetch_add(1, Ordering::SeqCst);
                })
                .probe()
                .0
        });
        let copy = event("u", "k", "m", None);
        for epoch in 1..=3 {
            input.send(copy.clone());
            input.advance_to(Epoch(epoch));
            worker.step_while(|| probe.less_than(&Epoch(epoch)));
            if epoch == 2 {
                taken_out.borrow_mut().push(copy.identity);
            }
        }
    });
    assert_eq!(passed.load(Ordering::SeqCst), 2);
}

fn mapping(user: &str, n: i64, message: &str, address: &str) -> Mapping {
    let (user, provider) = (User::new(user), Provider::new("ses"));
    let recipient_id = format!("r{n}");
    Mapping {
        join: JoinKey::of(&user, &provider, message),
        address: AddressKey::of(address),
        row_id: RowId(n),
        row: RowKey::of(&user, "b", &recipient_id),
        user,
        provider,
        batch_id: "b".into(),
        recipient_id: recipient_id.into(),
        sent_at: None,
    }
}

fn directory(mappings: &[Mapping]) -> MapDirectory {
    let mut all = MapDirectory::default();
    for mapping in mappings {
        all.rows.insert(mapping.row, mapping.row_id);
        all.messages
            .entry(mapping.join)
            .or_default()
            .push(MessageRecipient {
                address: mapping.address,
                row: mapping.row_id,
                batch_id: mapping.batch_id.clone(),
                recipient_id: mapping.recipient_id.clone(),
            });
    }
    all
}

fn mixed_events() -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..600u64 {
        let user = format!("u{}", n % 20);
        let message = format!("m{}", n % 90);
        let address = (n % 3 > 0).then(|| format!("A{}@x", n % 4));
        let one = event(&user, &n.to_string(), &message, address.as_deref());
        events.push(if n % 5 == 0 {
            with_ids(one, "b", &format!("r{}", n % 200))
        } else {
            one
        });
    }
    events
}

fn some_mappings() -> Vec<Mapping> {
    let all = (0..400i64).map(|n| {
        mapping(
            &format!("u{}", n % 20),
            n,
            &format!("m{}", n % 60),
            &format!("a{}@x", n % 3),
        )
    });
    all.collect()
}

/// What the arrangement finds equals what plain maps find; events that come before the load waits for it.
#[test]
fn the_half_join_equals_plain_maps() {
    let mut naive = directory(&some_mappings());
    let expected: BTreeMap<Identity, Option<RowId>> = mixed_events()
        .iter()
        .zip(match_all(&mixed_events(), &mut naive))
        .map(|(event, found)| (event.identity, found.map(|found| found.row)))
        .collect();
    assert!(expected.values().flatten().count() > 50);
    for (way, workers, config) in ways() {
        let (mut sender, updates) =
            SnapshotSender::channels(workers, Arc::new([Provider::new("ses")]));
        let updates = Mutex::new(updates);
        let joined: Arc<Mutex<BTreeMap<Identity, Option<RowId>>>> = Arc::default();
        let seen = Arc::clone(&joined);
        let guards = timely::execute(config, move |worker| {
            let updates = updates.lock().unwrap().pop().unwrap();
            let (seen, index) = (Arc::clone(&seen), worker.index());
            worker.dataflow::<Epoch, _, _>(|scope| {
                let mine = if index == 0 {
                    mixed_events()
                } else {
                    Vec::new()
                };
                let events = mine.to_stream(scope).container::<Vec<_>>();
                let settings = dedup::DedupSettings {
                    ttl: Duration::from_secs(60),
                    keys_max: 10_000,
                    clock: clock(),
                    counts: counts(),
                };
                let events = dedup::dedup(events, settings, dedup::Forgotten::default());
                let snapshot = arrange(
                    scope,
                    Recipients {
                        updates,
                        ended: Rc::default(),
                    },
                    clock(),
                );
                enrich(events, snapshot, counts()).inspect(move |(event, found)| {
                    let row = found.as_ref().map(|found| found.row);
                    seen.lock().unwrap().insert(event.identity, row);
                });
            });
        });
        for chunk in some_mappings().chunks(37) {
            sender.send_mappings(chunk);
        }
        sender.send_loaded();
        drop(sender);
        drop(guards.unwrap());
        assert_eq!(*joined.lock().unwrap(), expected, "{way}");
    }
}

/// Batches that a slow sink holds, with their answers.
type Held = Rc<RefCell<Vec<(Vec<Identity>, WriteAck<()>)>>>;

/// What all workers of the settlement test share.
#[derive(Clone, Default)]
struct Seen {
    durable: Arc<Mutex<Vec<Identity>>>,
    violated: Arc<AtomicBool>,
}

const LIMIT: InFlightLimit = InFlightLimit {
    events_max: 64,
    bytes_max: 1 << 20,
};

/// Builds bridge and write over `parcels`; the sink keeps every batch until it is released.
fn slow_sink(
    worker: &mut Worker,
    parcels: Receiver<Records>,
    ledger: &Rc<RefCell<InFlight>>,
    held: &Held,
) -> ProbeHandle<Epoch> {
    let pressed = Arc::new(AtomicBool::new(false));
    let parts = Bridge {
        records: parcels,
        in_flight: Rc::clone(ledger),
        limit: LIMIT,
        clock: clock(),
        tick: Duration::from_millis(1),
        draining: Arc::default(),
        pressed: Arc::clone(&pressed),
        quarantine: Rc::new(RefCell::new(WorkerQuarantine::new(
            &Quarantine::off(),
            0,
            PartitionIds::default(),
        ))),
        before_writers: ProbeHandle::new(),
    };
    let waiting = Rc::clone(held);
    let settings = WriteSettings {
        name: "Write",
        limits: WindowLimits {
            rows_max: 5,
            bytes_max: 1 << 20,
            age_max: Duration::from_millis(1),
            eager: true,
        },
        concurrent_max: 3,
        weigh: |_| 1,
        submit: Box::new(move |rows: Vec<Identity>, answer| {
            waiting.borrow_mut().push((rows, answer))
        }),
        answered: Box::new(|()| {}),
        pressed,
        pace: hookflow::log::LogPace::default(),
        clock: clock(),
    };
    worker.dataflow::<Epoch, _, _>(|scope| {
        let rows = bridge(scope, parts)
            .flat_map(|run| run.records)
            .map(|record| match record {
                Record::Ready(delivery) => Identity(u128::from(delivery.origin.offset)),
                Record::Line(..) | Record::Message(_) => {
                    unreachable!("the test hands out no lines")
                }
            });
        write(rows, settings).probe().0
    })
}

/// Steps a worker to its end; every third round the sink answers what it holds, the latest first.
fn settle_all(worker: &mut Worker, parcels: Receiver<Records>, seen: &Seen) {
    let (ledger, held): (Rc<RefCell<InFlight>>, Held) = Default::default();
    let probe = slow_sink(worker, parcels, &ledger, &held);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut rounds = 0u32;
    while worker.step_or_park(Some(Duration::from_millis(1))) {
        assert!(Instant::now() < deadline, "the dataflow does not end");
        rounds += 1;
        while rounds.is_multiple_of(3)
            && let Some((rows, answer)) = held.borrow_mut().pop()
        {
            seen.durable.lock().unwrap().extend(rows);
            answer.complete(());
        }
        let upper = probe.with_frontier(|frontier| frontier.first().copied());
        let closed = ledger.borrow_mut().close_before(upper, Duration::ZERO);
        let durable = seen.durable.lock().unwrap();
        let is_durable = |n| durable.contains(&Identity(u128::from(n)));
        if !closed
            .ranges
            .iter()
            .all(|at| (at.start..at.end).all(is_durable))
        {
            seen.violated.store(true, Ordering::SeqCst);
        }
        assert!(
            ledger.borrow().events() <= LIMIT.events_max + 16,
            "the in-flight limit was passed"
        );
    }
}

fn parcel(n: u64) -> Records {
    let records = (n * 8..n * 8 + 8).map(|offset| {
        let mut delivery = (*event("u", "k", "m", None).delivery).clone();
        delivery.origin.offset = offset;
        Record::Ready(Arc::new(delivery))
    });
    Records {
        due: None,
        partition: 0,
        start: n * 8,
        end: n * 8 + 8,
        records: records.collect(),
        bytes: 8,
    }
}

/// A sink that answers batches in reverse order: nothing may settle before everything below it is durable.
#[test]
fn positions_settle_only_below_what_is_durable() {
    for (way, workers, config) in ways() {
        let (mut feed, taps) = RecordSender::channels(workers, 4);
        let taps = Mutex::new(taps.workers);
        let seen = Seen::default();
        let shared = seen.clone();
        let guards = timely::execute(config, move |worker| {
            let parcels = taps.lock().unwrap().pop().unwrap();
            settle_all(worker, parcels, &shared);
        });
        for n in 0..100 {
            feed.hand_out(parcel(n)).unwrap();
        }
        drop(feed);
        drop(guards.unwrap());
        let written = seen.durable.lock().unwrap();
        let distinct: BTreeSet<_> = written.iter().collect();
        assert_eq!((written.len(), distinct.len()), (800, 800), "{way}");
        assert!(
            !seen.violated.load(Ordering::SeqCst),
            "{way}: settled before durable"
        );
    }
}

/// Rows that come after the initial load lie in batches of their own; keys beyond a batch's last one are asked too.
#[test]
fn rows_that_come_later_are_found_next_to_the_first() {
    timely::execute_directly(|worker| {
        let (mut sender, mut updates) =
            SnapshotSender::channels(1, Arc::new([Provider::new("ses")]));
        let recipients = Recipients {
            updates: updates.pop().unwrap(),
            ended: Rc::default(),
        };
        let found: Rc<RefCell<BTreeMap<Identity, Option<RowId>>>> = Rc::default();
        let seen = Rc::clone(&found);
        let mut input = timely::dataflow::InputHandle::<
            Epoch,
            timely::container::CapacityContainerBuilder<Vec<Event>>,
        >::new();
        let clock = Arc::new(ManualClock::default());
        let times: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let probe = worker.dataflow::<Epoch, _, _>(|scope| {
            use timely::dataflow::operators::Input;
            let events = scope.input_from(&mut input);
            enrich(events, arrange(scope, recipients, times), counts())
                .inspect(move |(event, found)| {
                    let row = found.as_ref().map(|found| found.row);
                    seen.borrow_mut().insert(event.identity, row);
                })
                .probe()
                .0
        });
        sender.send_loaded();
        for (n, chunk) in some_mappings().chunks(29).enumerate() {
            sender.send_mappings(chunk);
            clock.set(n as u64 * 10 + 10);
            for _ in 0..20 {
                worker.step();
            }
        }
        let deadline = Instant::now() + Duration::from_millis(300);
        while Instant::now() < deadline {
            worker.step_or_park(Some(Duration::from_millis(5)));
            clock.set(clock.epoch().0 + 10);
        }
        for event in mixed_events() {
            input.send(event);
        }
        input.advance_to(Epoch(1));
        worker.step_while(|| probe.less_than(&Epoch(1)));
        let mut naive = directory(&some_mappings());
        for (event, expected) in mixed_events()
            .iter()
            .zip(match_all(&mixed_events(), &mut naive))
        {
            let expected = expected.map(|expected| expected.row);
            assert_eq!(found.borrow()[&event.identity], expected);
        }
    });
}
