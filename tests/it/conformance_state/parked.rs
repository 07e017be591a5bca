//! Parked events: never lost, never twice.

use hookflow::event::Kind;
use hookflow::key::Identity;
use hookflow::state::{Effect, LoadKind, MappingCursor, Outcome};

use super::world::*;

#[test]
fn a_parked_event_waits_for_its_row_and_counts_as_if_it_had_just_arrived() {
    on_every_store(|store| {
        let mut lost = event("k", Kind::Opened, "b-m0", Some("R0@example.org"));
        lost.raw = Some(b"{}".to_vec().into());
        assert_eq!(outcome(store, park(&lost)), Outcome::Unmatched);
        assert_eq!(outcome(store, park(&lost)), Outcome::Duplicate);
        assert_eq!(store.parked().unwrap(), 1);
        assert_eq!(
            store.known(&[(lost.bucket, lost.identity)]).unwrap(),
            [true]
        );
        assert!(late(store).is_empty());
        full(store, "b", 1);
        let late = late(store);
        assert_eq!(
            (late.len(), &*late[0].batch_id, &*late[0].recipient_id),
            (1, "b", "r0")
        );
        assert_eq!(late[0].event, lost);
        assert_eq!(sweep(store), 1);
        assert_eq!(store.parked().unwrap(), 0);
        assert_eq!(batch(store, "b").totals.opens, 1);
        assert_eq!(outcome(store, park(&lost)), Outcome::Duplicate);
    });
}

#[test]
fn a_copy_that_matches_deletes_the_parked_one() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let copy = event("k", Kind::Opened, "b-m0", Some("r0@example.org"));
        assert_eq!(outcome(store, park(&copy)), Outcome::Unmatched);
        let applied = with_effect(&copy, Effect::Apply(ids[0]));
        assert_eq!(outcome(store, applied.clone()), Outcome::Applied);
        assert_eq!(store.parked().unwrap(), 0);
        assert_eq!(sweep(store), 0);
        assert_eq!(outcome(store, applied), Outcome::Duplicate);
        assert_eq!(batch(store, "b").totals.opens, 1);
    });
}

#[test]
fn unparked_events_are_gone_and_the_others_stay() {
    on_every_store(|store| {
        let (one, two) = (
            event("k", Kind::Clicked, "m", None),
            event("l", Kind::Clicked, "m", None),
        );
        outcomes(store, &[park(&one), park(&two)]);
        store.unpark(&[one.identity, Identity(7)]).unwrap();
        assert_eq!(store.parked().unwrap(), 1);
        let known = store.known(&[(one.bucket, one.identity), (two.bucket, two.identity)]);
        assert_eq!(known.unwrap(), [false, true]);
    });
}

#[test]
fn in_one_batch_applying_wins_over_parking() {
    on_every_store(|store| {
        let ids = full(store, "b", 1);
        let copy = event("k", Kind::Clicked, "b-m0", None);
        let apply = with_effect(&copy, Effect::Apply(ids[0]));
        let both = outcomes(store, &[park(&copy), apply]);
        assert_eq!(both, [Outcome::Duplicate, Outcome::Applied]);
        assert_eq!(store.parked().unwrap(), 0);
        let other = event("x", Kind::Clicked, "b-m9", None);
        let twice = outcomes(store, &[park(&other), park(&other)]);
        assert_eq!(twice, [Outcome::Unmatched, Outcome::Duplicate]);
    });
}

#[test]
fn nothing_matches_an_open_load() {
    on_every_store(|store| {
        outcome(
            store,
            park(&event("k", Kind::Sent, "b-m0", Some("r0@example.org"))),
        );
        outcome(
            store,
            park(&with_ids(event("i", Kind::Sent, "x", None), "b", "r0")),
        );
        outcome(store, park(&event("n", Kind::Sent, "b-m0", None)));
        let load = store.begin_load(LoadKind::Full).unwrap();
        store.load_recipients(load, &rows("b", 1)).unwrap();
        assert!(late(store).is_empty());
        assert!(
            store
                .mappings(MappingCursor::default(), 10)
                .unwrap()
                .0
                .is_empty()
        );
        store.finish_load(load).unwrap();
        assert_eq!(late(store).len(), 3);
        assert_eq!(
            store
                .mappings(MappingCursor::default(), 10)
                .unwrap()
                .0
                .len(),
            1
        );
    });
}

#[test]
fn ids_in_the_payload_win_over_the_mapping() {
    on_every_store(|store| {
        full(store, "b", 2);
        let named = with_ids(
            event("a", Kind::Sent, "b-m0", Some("r0@example.org")),
            "b",
            "r1",
        );
        let strange = with_ids(
            event("b", Kind::Sent, "b-m0", Some("r0@example.org")),
            "b",
            "r7",
        );
        outcomes(store, &[park(&named), park(&strange)]);
        let mut late = late(store);
        late.sort_by(|a, b| a.event.event_key.cmp(&b.event.event_key));
        let rows: Vec<_> = late.iter().map(|found| &*found.recipient_id).collect();
        assert_eq!(rows, ["r1", "r0"]);
    });
}

#[test]
fn without_an_address_only_a_message_with_one_recipient_matches() {
    on_every_store(|store| {
        let to_two = [
            row("b", "r0", "m", "a@x.org"),
            row("b", "r1", "m", "b@x.org"),
        ];
        load(store, LoadKind::Full, &to_two, &[]);
        load(
            store,
            LoadKind::Full,
            &[row("b", "r2", "n", "c@x.org")],
            &[],
        );
        outcome(store, park(&event("k", Kind::Sent, "m", None)));
        outcome(store, park(&event("l", Kind::Sent, "n", None)));
        outcome(store, park(&event("o", Kind::Sent, "n", Some("d@x.org"))));
        let late = late(store);
        let found: Vec<_> = late.iter().map(|found| &*found.recipient_id).collect();
        assert_eq!(found, ["r2"]);
        assert_eq!((sweep(store), store.parked().unwrap()), (1, 2));
    });
}

#[test]
fn late_matches_come_in_pages_by_identity() {
    on_every_store(|store| {
        full(store, "b", 7);
        for n in 0..10 {
            // Three of them match nothing, and are looked at all the same.
            let message = format!("b-m{n}");
            outcome(
                store,
                park(&event(&message, Kind::Delivered, &message, None)),
            );
        }
        let (mut next, mut pages, mut found) = (Some(Identity(0)), 0, Vec::new());
        while let Some(after) = next {
            let page = store.late_matches(after, 4).unwrap();
            assert!(page.matches.len() <= 4);
            found.extend(page.matches.iter().map(|late| late.event.identity));
            (next, pages) = (page.next, pages + 1);
        }
        assert_eq!((pages, found.len()), (3, 7));
        assert!(found.is_sorted());
        assert_eq!(sweep(store), 7);
        assert!(batch(store, "b").completed_at.is_some());
    });
}
