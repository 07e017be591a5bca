//! Any set of events, in any order, with any copies, in any batches: every store ends where a plain fold of the set ends.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::reference::ReferenceStore;
use hookflow::event::{BounceClass, Event, Kind, Millis};
use hookflow::key::Bucket;
use hookflow::state::kernel::{Flag, Status, flag_of};
use hookflow::state::sqlite::SqliteStore;
use hookflow::state::view::Export;
use hookflow::state::{Effect, LoadKind, Outcome, RecipientRow, RowId, StateEvent, StateStore};
use proptest::prelude::*;

use super::database::Database;
use super::world::*;

const ROWS: usize = 7;

/// Two batches and transactional mail.
fn snapshot() -> Vec<RecipientRow> {
    let mut all = rows("a", 3);
    all.extend(rows("b", 3));
    all.extend(rows("", 1));
    all
}

#[derive(Clone, Debug)]
struct Fact {
    event: Event,
    row: usize,
}

fn fact() -> impl Strategy<Value = (usize, u8, u8, bool, Option<i64>)> {
    let time = proptest::option::weighted(0.9, 0i64..20_000);
    (0..ROWS, 0u8..11, 0u8..3, any::<bool>(), time)
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    proptest::collection::vec(fact(), 1..40).prop_map(|raw| {
        let snapshot = snapshot();
        let numbered = raw.into_iter().enumerate();
        numbered
            .map(|(n, (row, kind, class, machine, time))| {
                let (kind, target) = (Kind::ALL[kind as usize], &snapshot[row]);
                let mut event = event(
                    &n.to_string(),
                    kind,
                    &target.message_id,
                    Some(&target.recipient),
                );
                event.bounce_class =
                    (kind == Kind::Bounced).then(|| BounceClass::ALL[class as usize]);
                event.machine = machine && kind == Kind::Opened;
                event.occurred_at = time.map(at);
                event.bucket = Bucket::of(event.occurred_at);
                Fact { event, row }
            })
            .collect()
    })
}

/// One delivery of one fact: which, and whether its recipient is known at that moment.
#[derive(Clone, Debug)]
struct Delivered {
    fact: prop::sample::Index,
    known: bool,
}

#[derive(Clone, Debug)]
struct Schedule {
    extra: Vec<Delivered>,
    order: Vec<u64>,
    batch: usize,
    sweep_every: usize,
    copies_known: bool,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let delivered = (any::<prop::sample::Index>(), any::<bool>())
        .prop_map(|(fact, known)| Delivered { fact, known });
    (
        proptest::collection::vec(delivered, 0..40),
        proptest::collection::vec(any::<u64>(), 80),
        1usize..30,
        1usize..6,
        any::<bool>(),
    )
        .prop_map(
            |(extra, order, batch, sweep_every, copies_known)| Schedule {
                extra,
                order,
                batch,
                sweep_every,
                copies_known,
            },
        )
}

impl Schedule {
    /// Every fact at least once, in a random order.
    fn deliveries<'a>(&self, facts: &'a [Fact]) -> Vec<(&'a Fact, bool)> {
        let mut all: Vec<_> = facts.iter().map(|fact| (fact, self.copies_known)).collect();
        all.extend(self.extra.iter().map(|d| (d.fact.get(facts), d.known)));
        let mut keyed: Vec<_> = self.order.iter().zip(all).collect();
        keyed.sort_by_key(|(order, _)| **order);
        keyed.into_iter().map(|(_, delivery)| delivery).collect()
    }
}

fn state_event(fact: &Fact, known: bool, ids: &[RowId]) -> StateEvent {
    match (fact.event.kind, known) {
        (Kind::Other, _) => with_effect(&fact.event, Effect::LogOnly),
        (_, true) => with_effect(&fact.event, Effect::Apply(ids[fact.row])),
        (_, false) => park(&fact.event),
    }
}

/// Plays a schedule on a store; returns how many events were applied.
fn play(store: &mut dyn StateStore, ids: &[RowId], facts: &[Fact], schedule: &Schedule) -> usize {
    let deliveries = schedule.deliveries(facts);
    let mut applied = 0;
    for (n, batch) in deliveries.chunks(schedule.batch).enumerate() {
        let events: Vec<_> = batch
            .iter()
            .map(|(fact, known)| state_event(fact, *known, ids))
            .collect();
        let done = outcomes(store, &events);
        applied += done
            .iter()
            .filter(|outcome| **outcome == Outcome::Applied)
            .count();
        if n % schedule.sweep_every == 0 {
            applied += sweep(store);
        }
    }
    applied + sweep(store)
}

fn snapshot_ids(store: &mut dyn StateStore) -> Vec<RowId> {
    let (fates, _) = load(store, LoadKind::Full, &snapshot(), &[]);
    fates.into_iter().map(|fate| mapping(fate).row_id).collect()
}

/// What a plain loop over the set says about one row: the times of each flag.
type Naive = BTreeMap<Flag, Vec<Millis>>;

fn naive(facts: &[Fact], row: usize) -> Naive {
    let mut flags = Naive::new();
    for fact in facts.iter().filter(|fact| fact.row == row) {
        let event = &fact.event;
        if let Some(flag) = flag_of(event.kind, event.bounce_class, event.machine) {
            flags.entry(flag).or_default().push(event.time());
        }
    }
    flags
}

fn finished(flags: &Naive) -> bool {
    let quiet = [Flag::Sent, Flag::Deferred, Flag::MachineOpened];
    flags.keys().any(|flag| !quiet.contains(flag))
}

fn check(export: &Export, facts: &[Fact]) {
    let snapshot = snapshot();
    let all: Vec<Naive> = (0..ROWS).map(|row| naive(facts, row)).collect();
    for (expected, flags) in snapshot.iter().zip(&all) {
        let is = |r: &&_| names(r) == (expected.batch_id.as_str(), expected.recipient_id.as_str());
        check_row(export.recipients.iter().find(is).unwrap(), flags);
    }
    for batch in &export.batches {
        let rows = snapshot
            .iter()
            .zip(&all)
            .filter(|(row, _)| row.batch_id == batch.batch_id);
        let rows: Vec<&Naive> = rows.map(|(_, flags)| flags).collect();
        let events = |flag: Flag| {
            rows.iter()
                .map(|r| r.get(&flag).map_or(0, Vec::len) as u64)
                .sum::<u64>()
        };
        for flag in Flag::ALL {
            let unique = rows.iter().filter(|row| row.contains_key(&flag)).count() as u64;
            assert_eq!(batch.unique[flag.name()], unique, "{}", flag.name());
        }
        assert_eq!(batch.totals.opens, events(Flag::Opened));
        assert_eq!(batch.totals.clicks, events(Flag::Clicked));
        assert_eq!(batch.totals.machine_opens, events(Flag::MachineOpened));
        let done = rows.iter().filter(|row| finished(row)).count() as u64;
        assert_eq!(batch.finished, done);
        assert_eq!(batch.completed_at.is_some(), done == batch.recipients);
    }
    let complete = export
        .batches
        .iter()
        .filter(|batch| batch.completed_at.is_some());
    assert_eq!(export.completions.len(), complete.count());
}

fn names(row: &hookflow::state::view::RecipientView) -> (&str, &str) {
    (&row.batch_id, &row.recipient_id)
}

fn check_row(row: &hookflow::state::view::RecipientView, flags: &Naive) {
    let rank = |flag: &Flag| {
        Status::ALL
            .iter()
            .position(|status| status.name() == flag.name())
    };
    let highest = flags.keys().filter_map(rank).max().unwrap_or(0);
    assert_eq!(row.status, Status::ALL[highest].name());
    assert_eq!(row.flags.len(), flags.len());
    for (flag, times) in flags {
        let span = row.flags[flag.name()];
        assert_eq!(Some(&span.first), times.iter().min());
        assert_eq!(Some(&span.last), times.iter().max());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_store_ends_where_the_plain_fold_ends(facts in facts(), one in schedule(), two in schedule()) {
        let counted = facts.iter().filter(|fact| fact.event.kind != Kind::Other).count();
        let mut memory = ReferenceStore::new();
        let ids = snapshot_ids(&mut memory);
        prop_assert_eq!(play(&mut memory, &ids, &facts, &one), counted);
        let export = memory.export().unwrap();
        check(&export, &facts);

        let dir = tempfile::tempdir().unwrap();
        let mut embedded = SqliteStore::open(dir.path()).unwrap();
        let ids = snapshot_ids(&mut embedded);
        prop_assert_eq!(play(&mut embedded, &ids, &facts, &two), counted);
        let same = embedded.export().unwrap();
        prop_assert_eq!(unsealed(same.clone()), unsealed(export));

        if let Some(database) = shared_database() {
            database.clean();
            let mut server = database.open();
            let ids = snapshot_ids(&mut server);
            prop_assert_eq!(play(&mut server, &ids, &facts, &two), counted);
            let served = server.export().unwrap();
            prop_assert_eq!(unsealed(served.clone()), unsealed(same.clone()));
            prop_assert_eq!(play(&mut server, &ids, &facts, &one), 0, "a replay applies nothing");
            prop_assert_eq!(server.export().unwrap(), served);
        }

        drop(embedded);
        let mut reopened = SqliteStore::open(dir.path()).unwrap();
        prop_assert_eq!(play(&mut reopened, &ids, &facts, &one), 0, "a replay applies nothing");
        prop_assert_eq!(reopened.export().unwrap(), same);
        prop_assert_eq!(reopened.parked().unwrap(), 0);
    }

    #[test]
    fn the_same_schedule_has_the_same_outcomes_everywhere(facts in facts(), schedule in schedule()) {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = ReferenceStore::new();
        let mut embedded = SqliteStore::open(dir.path()).unwrap();
        let ids = snapshot_ids(&mut memory);
        prop_assert_eq!(&snapshot_ids(&mut embedded), &ids);
        let database = shared_database();
        let mut server = database.as_ref().map(|database| {
            database.clean();
            let mut store = database.open();
            let ids = snapshot_ids(&mut store);
            (store, ids)
        });
        for batch in schedule.deliveries(&facts).chunks(schedule.batch) {
            let events: Vec<_> = batch.iter().map(|(fact, known)| state_event(fact, *known, &ids)).collect();
            let (one, two) = (memory.apply(&events).unwrap(), embedded.apply(&events).unwrap());
            prop_assert_eq!(&one.outcomes, &two.outcomes);
            prop_assert_eq!(one.recipients_changed, two.recipients_changed);
            prop_assert_eq!(one.completed, two.completed);
            prop_assert_eq!(memory.parked().unwrap(), embedded.parked().unwrap());
            if let Some((store, ids)) = &mut server {
                let events: Vec<_> = batch.iter().map(|(fact, known)| state_event(fact, *known, ids)).collect();
                let three = store.apply(&events).unwrap();
                prop_assert_eq!(&one.outcomes, &three.outcomes);
                prop_assert_eq!(one.recipients_changed, three.recipients_changed);
                prop_assert_eq!(one.completed, three.completed);
                prop_assert_eq!(memory.parked().unwrap(), store.parked().unwrap());
            }
        }
    }
}

thread_local! {
    /// One schema for all cases of a property, emptied between them.
    static DATABASE: Option<Rc<Database>> = Database::if_available().map(Rc::new);
}

fn shared_database() -> Option<Rc<Database>> {
    DATABASE.with(Clone::clone)
}

/// Comparable, without the moment at which the load sealed.
fn unsealed(export: Export) -> Export {
    let mut export = export.comparable();
    for batch in &mut export.batches {
        batch.sealed_at = batch.sealed_at.map(|_| TEN);
    }
    export
}
