//! Seals, generations, deadlines and the outbox.

use hookflow::event::Kind;
use hookflow::state::{LoadKind, RowId, StateStore};

use super::world::*;

fn deliver(store: &mut dyn StateStore, name: &str, ids: &[RowId]) -> u64 {
    let events: Vec<_> = ids
        .iter()
        .map(|id| hit(&format!("{name}-{}", id.0), Kind::Delivered, 1, *id))
        .collect();
    store.apply(&events).unwrap().completed
}

fn causes(store: &mut dyn StateStore) -> Vec<(u64, String)> {
    let completions = store.export().unwrap().completions;
    completions
        .into_iter()
        .map(|c| (c.generation, c.cause))
        .collect()
}

#[test]
fn the_last_recipient_completes_the_batch_once() {
    on_every_store(|store| {
        let ids = full(store, "b", 3);
        assert_eq!(deliver(store, "a", &ids[..2]), 0);
        assert_eq!(deliver(store, "a", &ids), 1);
        assert_eq!(deliver(store, "again", &ids), 0);
        assert_eq!(causes(store), [(1, "all".to_owned())]);
    });
}

#[test]
fn an_unsealed_batch_waits_and_completes_at_its_seal() {
    on_every_store(|store| {
        let rows = rows("b", 2);
        let (fates, _) = load(store, LoadKind::Increment, &rows, &[]);
        let ids: Vec<_> = fates.into_iter().map(|fate| mapping(fate).row_id).collect();
        assert_eq!(deliver(store, "a", &ids), 0);
        assert_eq!(batch(store, "b").generation, 0);
        let sealing = [batch_row("b", Some(2), true, None)];
        let (_, summary) = load(store, LoadKind::Increment, &[], &sealing);
        assert_eq!((summary.sealed, summary.completed), (1, 1));
        assert_eq!(batch(store, "b").cause.as_deref(), Some("all"));
    });
}

#[test]
fn a_changed_sealed_total_is_a_new_generation() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        deliver(store, "a", &ids);
        let more = full(store, "b", 3);
        let grown = batch(store, "b");
        assert_eq!(
            (grown.generation, grown.total, grown.completed_at),
            (2, Some(3), None)
        );
        assert_eq!(deliver(store, "b", &more), 1);
        let sealed = [batch_row("b", Some(2), true, None)];
        let (_, summary) = load(store, LoadKind::Full, &[], &sealed);
        assert_eq!(
            (summary.sealed, summary.completed, summary.total_too_small),
            (1, 1, 1)
        );
        let all = |generation| (generation, "all".to_owned());
        assert_eq!(causes(store), [all(1), all(2), all(3)]);
        let (_, summary) = load(store, LoadKind::Full, &[], &sealed);
        assert_eq!((summary.sealed, summary.completed), (0, 0));
    });
}

#[test]
fn a_row_of_a_batches_file_decides_and_full_loads_leave_it_alone() {
    on_every_store(|store| {
        let open = [batch_row("b", Some(5), false, None)];
        let (_, summary) = load(store, LoadKind::Full, &rows("b", 2), &open);
        assert_eq!(summary.sealed, 0);
        full(store, "b", 2);
        let view = batch(store, "b");
        assert_eq!(
            (view.total, view.sealed_at, view.generation),
            (Some(5), None, 0)
        );
        load(
            store,
            LoadKind::Increment,
            &[],
            &[batch_row("b", None, true, None)],
        );
        assert_eq!(batch(store, "b").total, Some(2));
    });
}

#[test]
fn an_increment_seals_nothing_by_itself() {
    on_every_store(|store| {
        let (_, summary) = load(store, LoadKind::Increment, &rows("b", 2), &[]);
        assert_eq!((summary.sealed, summary.total_too_small), (0, 0));
        let view = batch(store, "b");
        assert_eq!(
            (view.total, view.sealed_at, view.recipients),
            (None, None, 2)
        );
    });
}

/// What is known of the total and the completion of a batch.
fn standing(store: &mut dyn StateStore) -> (Option<u64>, u64, bool) {
    let view = batch(store, "b");
    (view.total, view.generation, view.completed_at.is_some())
}

#[test]
fn derived_total_follows_the_rows_of_later_loads() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        assert_eq!(deliver(store, "a", &ids), 1);
        let (fates, summary) = load(store, LoadKind::Increment, &rows("b", 3), &[]);
        assert_eq!((summary.sealed, summary.total_too_small), (1, 0));
        assert_eq!(standing(store), (Some(3), 2, false));
        let third = mapping(fates[2].clone()).row_id;
        assert_eq!(deliver(store, "a", &[third]), 1);
        let (_, summary) = load(store, LoadKind::Increment, &rows("b", 3), &[]);
        assert_eq!((summary.sealed, summary.completed), (0, 0));
        assert_eq!(standing(store), (Some(3), 2, true));
        let all = |generation| (generation, "all".to_owned());
        assert_eq!(causes(store), [all(1), all(2)]);
    });
}

#[test]
fn derived_total_follows_the_rows_of_a_load_that_died() {
    on_every_store(|store| {
        let ids = full(store, "b", 2);
        deliver(store, "a", &ids);
        let dead = store.begin_load(LoadKind::Increment).unwrap();
        store.load_recipients(dead, &rows("b", 3)).unwrap();
        store.begin_load(LoadKind::Increment).unwrap();
        assert_eq!(standing(store), (Some(3), 2, false));
    });
}

#[test]
fn stated_total_stands_when_later_loads_bring_more_rows() {
    on_every_store(|store| {
        let stated = [batch_row("b", Some(2), true, None)];
        load(store, LoadKind::Full, &rows("b", 2), &stated);
        for kind in [LoadKind::Increment, LoadKind::Full] {
            let (_, summary) = load(store, kind, &rows("b", 3), &[]);
            assert_eq!((summary.sealed, summary.total_too_small), (0, 1));
            assert_eq!(standing(store), (Some(2), 1, false));
        }
    });
}

#[test]
fn a_total_too_small_is_reported_and_breaks_nothing() {
    on_every_store(|store| {
        let sealed = [batch_row("b", Some(1), true, None)];
        let (fates, summary) = load(store, LoadKind::Full, &rows("b", 3), &sealed);
        assert_eq!(summary.total_too_small, 1);
        let ids: Vec<_> = fates.into_iter().map(|fate| mapping(fate).row_id).collect();
        assert_eq!(deliver(store, "a", &ids), 1);
        assert_eq!((batch(store, "b").finished, causes(store).len()), (3, 1));
    });
}

#[test]
fn a_deadline_completes_what_is_sealed_and_all_wins_where_both_hold() {
    on_every_store(|store| {
        let rows: Vec<_> = ["late", "open", "done"]
            .iter()
            .flat_map(|b| rows(b, 1))
            .collect();
        let given = [
            batch_row("late", Some(1), true, Some(at(10))),
            batch_row("open", Some(1), false, Some(at(10))),
            batch_row("done", Some(1), true, Some(at(10))),
        ];
        let (fates, _) = load(store, LoadKind::Full, &rows, &given);
        let done = mapping(fates[2].clone()).row_id;
        assert_eq!(store.judge_deadlines(at(9)).unwrap(), 0);
        deliver(store, "a", &[done]);
        assert_eq!(store.judge_deadlines(at(10)).unwrap(), 1);
        assert_eq!(store.judge_deadlines(at(99)).unwrap(), 0);
        assert_eq!(batch(store, "late").cause.as_deref(), Some("deadline"));
        assert_eq!(batch(store, "done").cause.as_deref(), Some("all"));
        assert_eq!(batch(store, "open").completed_at, None);
        let late = mapping(fates[0].clone()).row_id;
        assert_eq!(deliver(store, "a", &[late]), 0);
    });
}
