//! Ledger, fold and counters.

use hookflow::error::Class;
use hookflow::event::Kind;
use hookflow::key::Bucket;
use hookflow::state::{Effect, Outcome, RowId};

use super::world::*;

#[test]
fn a_copy_is_a_duplicate_in_the_same_batch_and_later() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        let open = hit("k", Kind::Opened, 5, ids[0]);
        let both = outcomes(store, &[open.clone(), open.clone()]);
        assert_eq!(both, [Outcome::Applied, Outcome::Duplicate]);
        assert_eq!(outcome(store, open), Outcome::Duplicate);
        let batch = batch(store, "b");
        assert_eq!((batch.totals.opens, batch.unique["opened"]), (1, 1));
    });
}

#[test]
fn the_outcome_of_a_batch_does_not_depend_on_its_order() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let late = hit("a", Kind::Delivered, 1, ids[0]);
        let early = hit("b", Kind::Opened, 9, ids[0]);
        outcomes(store, &[early, late]);
        let row = recipient(store, "b", "r0");
        assert_eq!(row.status, "opened");
        assert_eq!(row.flags["delivered"].first, at(1));
        assert_eq!(row.flags.len(), 2);
    });
}

#[test]
fn totals_count_events_and_uniques_count_recipients() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        let events: Vec<_> = (0..6)
            .map(|n| hit(&n.to_string(), Kind::Clicked, n, ids[n as usize % 2]))
            .collect();
        let applied = store.apply(&events).unwrap();
        assert_eq!(applied.recipients_changed, 2);
        let batch = batch(store, "b");
        assert_eq!((batch.totals.clicks, batch.unique["clicked"]), (6, 2));
        let row = recipient(store, "b", "r1");
        assert_eq!(
            (row.flags["clicked"].first, row.flags["clicked"].last),
            (at(1), at(5))
        );
    });
}

#[test]
fn bounced_after_delivered_keeps_both_and_finishes_once() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        outcome(store, hit("a", Kind::Delivered, 1, ids[0]));
        outcome(store, hit("b", Kind::Bounced, 2, ids[0]));
        let batch = batch(store, "b");
        assert_eq!(
            (batch.unique["delivered"], batch.unique["bounced_hard"]),
            (1, 1)
        );
        assert_eq!(batch.finished, 1);
        assert_eq!(recipient(store, "b", "r0").status, "bounced_hard");
    });
}

#[test]
fn scanners_and_transport_finish_nobody() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let mut machine = hit("m", Kind::Opened, 1, ids[0]);
        machine.machine = true;
        let sent = hit("s", Kind::Sent, 2, ids[0]);
        outcomes(store, &[machine, sent, hit("d", Kind::Deferred, 3, ids[0])]);
        let batch = batch(store, "b");
        assert_eq!(
            (
                batch.finished,
                batch.totals.opens,
                batch.totals.machine_opens
            ),
            (0, 0, 1)
        );
        assert_eq!(
            (batch.unique["machine_opened"], batch.unique["opened"]),
            (1, 0)
        );
        assert!(batch.completed_at.is_none());
        assert_eq!(recipient(store, "b", "r0").status, "deferred");
    });
}

#[test]
fn other_kinds_are_in_the_ledger_and_count_for_nothing() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let before = store.export().unwrap();
        let mut other = hit("o", Kind::Other, 1, ids[0]);
        other.effect = Effect::LogOnly;
        assert_eq!(outcome(store, other.clone()), Outcome::LoggedOnly);
        assert_eq!(outcome(store, other.clone()), Outcome::Duplicate);
        assert_eq!(
            store.known(&[(other.bucket, other.identity)]).unwrap(),
            [true]
        );
        other.effect = Effect::Apply(ids[0]);
        assert_eq!(outcome(store, other), Outcome::Duplicate);
        assert_eq!(store.export().unwrap(), before);
    });
}

#[test]
fn events_without_time_are_judged_in_bucket_zero() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let mut first = hit("k", Kind::Opened, 0, ids[0]);
        first.bucket = Bucket::NONE;
        let mut an_hour_later = first.clone();
        an_hour_later.time = at(3_600);
        assert_eq!(outcome(store, first), Outcome::Applied);
        assert_eq!(outcome(store, an_hour_later), Outcome::Duplicate);
        assert_eq!(batch(store, "b").totals.opens, 1);
    });
}

#[test]
fn transactional_mail_has_state_and_no_counters() {
    on_every_store(|store| {
        let ids = full(store, "", 1);
        assert_eq!(
            outcome(store, hit("k", Kind::Delivered, 1, ids[0])),
            Outcome::Applied
        );
        assert_eq!(recipient(store, "", "r0").status, "delivered");
        assert!(store.export().unwrap().batches.is_empty());
    });
}

#[test]
fn a_row_that_does_not_exist_is_a_bug_and_changes_nothing() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let good = hit("k", Kind::Delivered, 1, ids[0]);
        let error = store.apply(&[good.clone(), hit("x", Kind::Sent, 1, RowId(99))]);
        assert_eq!(error.unwrap_err().class, Class::Bug);
        assert_eq!(outcome(store, good), Outcome::Applied);
    });
}
