//! Pruning and what comes too late after it.

use hookflow::event::{Kind, Millis};
use hookflow::key::Bucket;
use hookflow::state::{Outcome, Prune, StateStore};

use super::world::*;

const HOUR: i64 = 3_600;

fn prune_before(store: &mut dyn StateStore, seconds: i64) -> u64 {
    let what = Prune {
        before: Some(at(seconds)),
        ..Prune::default()
    };
    store.prune(&what, 2).unwrap().ledger
}

#[test]
fn what_is_older_than_the_dropped_raises_no_totals() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        for n in 0..5 {
            outcome(store, hit(&n.to_string(), Kind::Opened, n * HOUR, ids[0]));
        }
        assert_eq!(prune_before(store, 3 * HOUR), 3);
        let again = hit("0", Kind::Opened, 0, ids[0]);
        let fresh = hit("x", Kind::Opened, 0, ids[1]);
        let kept = hit("3", Kind::Opened, 3 * HOUR, ids[0]);
        let applied = store.apply(&[again, fresh.clone(), fresh, kept]).unwrap();
        let (yes, no) = (Outcome::Applied, Outcome::Duplicate);
        assert_eq!(applied.outcomes, [no, yes, no, no]);
        assert_eq!(applied.late_total_refused, 3);
        let batch = batch(store, "b");
        assert_eq!((batch.totals.opens, batch.unique["opened"]), (5, 2));
    });
}

#[test]
fn nothing_is_refused_where_nothing_was_dropped() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        assert_eq!(prune_before(store, 9 * HOUR), 0);
        assert_eq!(store.export().unwrap().dropped_before, 0);
        assert_eq!(
            outcome(store, hit("a", Kind::Opened, 0, ids[0])),
            Outcome::Applied
        );
        assert_eq!(prune_before(store, 9 * HOUR), 1);
        let next_hour = hit("b", Kind::Opened, HOUR, ids[0]);
        assert_eq!(store.apply(&[next_hour]).unwrap().late_total_refused, 0);
        assert_eq!(batch(store, "b").totals.opens, 2);
    });
}

#[test]
fn a_parked_copy_goes_when_its_late_event_is_applied() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        outcome(store, hit("a", Kind::Opened, HOUR, ids[0]));
        prune_before(store, 2 * HOUR);
        let late = event("p", Kind::Clicked, "b-m0", None);
        assert_eq!(outcome(store, park(&late)), Outcome::Unmatched);
        let apply = hit("p", Kind::Clicked, 0, ids[0]);
        let both = outcomes(store, &[park(&late), apply]);
        assert_eq!(both, [Outcome::Duplicate, Outcome::Applied]);
        assert_eq!(store.parked().unwrap(), 0);
        assert_eq!(batch(store, "b").totals.clicks, 0);
        assert_eq!(recipient(store, "b", "r0").status, "clicked");
    });
}

#[test]
fn events_without_time_go_by_the_date_of_storing_and_are_never_late() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let untimed = |key: &str| {
            let mut event = hit(key, Kind::Opened, 0, ids[0]);
            event.bucket = Bucket::NONE;
            event
        };
        for key in ["a", "b", "c", "d", "e"] {
            outcome(store, untimed(key));
        }
        outcome(store, hit("timed", Kind::Opened, 0, ids[0]));
        assert_eq!(prune_before(store, 9 * HOUR), 1);
        assert_eq!(outcome(store, untimed("a")), Outcome::Duplicate);
        let until = |at: Millis| Prune {
            no_time_stored_before: Some(at),
            ..Prune::default()
        };
        assert_eq!(store.prune(&until(TEN), 2).unwrap().no_time, 0);
        let soon = Millis(Millis::now().0 + 60_000);
        assert_eq!(store.prune(&until(soon), 2).unwrap().no_time, 5);
        assert_eq!(outcome(store, untimed("a")), Outcome::Applied);
    });
}
