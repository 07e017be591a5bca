//! The completion outbox: pages, each marked by itself, on a connection beside that of the state writer.

use hookflow::event::Kind;
use hookflow::state::postgres::PostgresOutbox;
use hookflow::state::sqlite::{SqliteOutbox, SqliteStore};
use hookflow::state::{CompletionOutbox, LoadKind, RecipientRow, StateStore};

use super::database::Database;
use super::world::*;

/// Runs a test on a store of each kind that has an outbox.
fn on_every_outbox(test: impl Fn(&mut dyn StateStore, &mut dyn CompletionOutbox)) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    test(&mut store, &mut SqliteOutbox::open(dir.path()).unwrap());
    if let Some(database) = Database::if_available() {
        let mut outbox = PostgresOutbox::new(database.settings.clone()).unwrap();
        test(&mut database.open(), &mut outbox);
    }
}

/// Calls another connection while a page is being delivered, on a thread of its own as in a job: a thread drives one at a time.
fn beside<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(call).join().unwrap())
}

/// So many batches of one recipient each, all complete.
fn complete(store: &mut dyn StateStore, batches: usize) {
    let rows: Vec<RecipientRow> = (0..batches)
        .flat_map(|n| rows(&format!("b{n:05}"), 1))
        .collect();
    let (fates, _) = load(store, LoadKind::Full, &rows, &[]);
    let hits: Vec<_> = fates
        .into_iter()
        .zip(0..)
        .map(|(fate, n)| hit(&format!("k{n}"), Kind::Delivered, 1, mapping(fate).row_id))
        .collect();
    assert_eq!(store.apply(&hits).unwrap().completed, batches as u64);
}

#[test]
fn the_relay_delivers_each_completion_and_offers_again_what_was_not_taken() {
    on_every_outbox(|store, outbox| {
        complete(store, 2);
        assert_eq!(outbox.relay_page(9, &mut |_| false).unwrap(), 0);
        let mut offered = Vec::new();
        let taken = outbox.relay_page(9, &mut |page| {
            offered.extend(
                page.iter()
                    .map(|one| (one.batch_id.clone(), one.generation)),
            );
            true
        });
        assert_eq!(taken.unwrap(), 2);
        assert_eq!(
            offered,
            [("b00000".to_owned(), 1), ("b00001".to_owned(), 1)]
        );
        assert_eq!(outbox.relay_page(9, &mut |_| unreachable!()).unwrap(), 0);
    });
}

#[test]
fn thousands_of_completions_leave_in_bounded_pages_and_each_page_is_marked() {
    on_every_outbox(|store, outbox| {
        complete(store, 2_500);
        let delivered = |store: &mut dyn StateStore| {
            let completions = store.export().unwrap().completions.into_iter();
            completions.filter(|one| one.delivered_at.is_some()).count()
        };
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let page = outbox.relay_page(1_000, &mut |page| {
                sizes.push(page.len());
                true
            });
            page.unwrap();
            assert_eq!(delivered(store), sizes.iter().sum::<usize>());
        }
        assert_eq!(sizes, [1_000, 1_000, 500]);
    });
}

#[test]
fn events_are_applied_while_completions_are_written() {
    on_every_outbox(|store, outbox| {
        complete(store, 3);
        let ids = full(store, "late", 1);
        let mut applied = false;
        let page = outbox.relay_page(9, &mut |_| {
            // The file is being synced; meanwhile the state writer commits.
            let event = hit("meanwhile", Kind::Delivered, 1, ids[0]);
            applied = beside(|| store.apply(&[event]).unwrap().completed) == 1;
            true
        });
        assert_eq!((page.unwrap(), applied), (3, true));
        assert_eq!(outbox.relay_page(9, &mut |_| true).unwrap(), 1);
    });
}

#[test]
#[ignore = "needs Postgres"]
fn members_deliver_different_completions() {
    let Some(database) = Database::new("two outboxes") else {
        return;
    };
    complete(&mut database.open(), 4);
    let mut one = PostgresOutbox::new(database.settings.clone()).unwrap();
    let mut two = PostgresOutbox::new(database.settings.clone()).unwrap();
    let mut batches = Vec::new();
    let first = one.relay_page(3, &mut |page| {
        batches.extend(page.iter().map(|one| one.batch_id.clone()));
        let second = beside(|| {
            two.relay_page(3, &mut |page| {
                batches.extend(page.iter().map(|one| one.batch_id.clone()));
                true
            })
        });
        assert_eq!(second.unwrap(), 1);
        true
    });
    assert_eq!(first.unwrap(), 3);
    assert_eq!(batches, ["b00000", "b00001", "b00002", "b00003"]);
}
