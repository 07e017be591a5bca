//! Loads: mappings, contradictions, chunks.

use hookflow::enrich::snapshot::{self, SnapshotOptions};
use hookflow::event::Kind;
use hookflow::recipient::BATCH_KEY_BYTES_MAX;
use hookflow::state::{LoadKind, LoadOutcome, MappingCursor, Outcome};

use super::world::*;

#[test]
fn the_first_accepted_mapping_stands_and_a_contradiction_is_part_of_no_total() {
    on_every_store(|store| {
        let first = row("b", "r0", "m", "a@x.org");
        let other_row = row("b", "r1", "m", "a@x.org");
        let (fates, summary) = load(
            store,
            LoadKind::Full,
            &[first.clone(), other_row, first],
            &[],
        );
        assert!(matches!(fates[0], LoadOutcome::Accepted(_)));
        assert_eq!(fates[1], LoadOutcome::Contradiction);
        assert!(matches!(fates[2], LoadOutcome::Known(_)));
        assert_eq!(summary.contradictions, 1);
        let batch = batch(store, "b");
        assert_eq!((batch.recipients, batch.total), (1, Some(1)));
        assert_eq!(store.export().unwrap().recipients.len(), 1);
    });
}

#[test]
fn a_contradiction_makes_no_batch_either() {
    on_every_store(|store| {
        full(store, "b", 1);
        let stolen = row("c", "r0", "b-m0", "r0@example.org");
        let (fates, summary) = load(store, LoadKind::Full, &[stolen], &[]);
        assert_eq!(fates, [LoadOutcome::Contradiction]);
        assert_eq!(summary.sealed, 0);
        assert_eq!(store.export().unwrap().batches.len(), 1);
    });
}

/// Text that no compression makes shorter by much.
fn dense(length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(blake3::hash(text.as_bytes()).to_hex().as_str());
    }
    text.truncate(length);
    text
}

#[test]
fn row_with_an_oversized_batch_id_is_named_and_the_rest_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recipients.csv");
    let mut lines = "provider,message_id,recipient,user_id,batch_id,recipient_id\n".to_owned();
    let (longest, too_long) = (dense(BATCH_KEY_BYTES_MAX), dense(4_096));
    let names: [(&str, &str); 4] = [
        ("acme", "b"),
        ("acme", &too_long),
        (&too_long, "b"),
        (&longest, &longest),
    ];
    for (n, (user, batch)) in names.into_iter().enumerate() {
        lines.push_str(&format!("ses,m{n},r{n}@x.org,{user},{batch},r{n}\n"));
    }
    std::fs::write(&path, lines).unwrap();
    on_every_store(|store| {
        let load = store.begin_load(LoadKind::Full).unwrap();
        let mut bad = Vec::new();
        for chunk in snapshot::recipients(&path, &SnapshotOptions::default()).unwrap() {
            let chunk = chunk.unwrap();
            store.load_recipients(load, &chunk.rows).unwrap();
            bad.extend(chunk.bad);
        }
        store.finish_load(load).unwrap();
        let lines: Vec<u64> = bad.iter().map(|row| row.line).collect();
        assert_eq!(lines, [3, 4]);
        assert!(bad[0].reason.contains("batch_id"), "{}", bad[0]);
        assert!(bad[1].reason.contains("user_id"), "{}", bad[1]);
        assert_eq!(store.export().unwrap().batches.len(), 2);
    });
}

#[test]
fn oversized_id_in_a_batches_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("batches.csv");
    let lines = format!(
        "id,user,total,sealed_at\n{},acme,1,\nb,acme,1,\n",
        dense(4_096)
    );
    std::fs::write(&path, lines).unwrap();
    let mut chunks = snapshot::batches(&path, &SnapshotOptions::default()).unwrap();
    let chunk = chunks.next().unwrap().unwrap();
    assert_eq!((chunk.rows.len(), chunk.bad[0].line), (1, 2));
}

#[test]
fn several_messages_may_lead_to_one_row() {
    on_every_store(|store| {
        let rows = [
            row("b", "r0", "m1", "a@x.org"),
            row("b", "r0", "m2", "a@x.org"),
        ];
        let (fates, _) = load(store, LoadKind::Full, &rows, &[]);
        let ids: Vec<_> = fates.into_iter().map(|fate| mapping(fate).row_id).collect();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(batch(store, "b").total, Some(1));
        let (page, last) = store.mappings(MappingCursor::default(), 1).unwrap();
        assert_eq!(page.len(), 1);
        assert_eq!(store.mappings(last, 9).unwrap().0.len(), 1);
    });
}

#[test]
fn loading_the_same_again_changes_nothing() {
    on_every_store(|store| {
        let ids = full(store, "b", 3);
        outcome(store, hit("k", Kind::Delivered, 1, ids[0]));
        let before = store.export().unwrap();
        assert_eq!(full(store, "b", 3), ids);
        assert_eq!(store.export().unwrap(), before);
    });
}

#[test]
fn chunks_commit_but_totals_change_only_at_the_end() {
    on_every_store(|store| {
        let load = store.begin_load(LoadKind::Full).unwrap();
        let all = rows("b", 4);
        let fates = store.load_recipients(load, &all[..2]).unwrap();
        let early = batch(store, "b");
        assert_eq!(
            (early.recipients, early.total, early.generation),
            (2, None, 0)
        );
        for (n, fate) in fates.into_iter().enumerate() {
            let event = hit(&n.to_string(), Kind::Delivered, 1, mapping(fate).row_id);
            assert_eq!(outcome(store, event), Outcome::Applied);
        }
        store.load_recipients(load, &all[2..]).unwrap();
        let summary = store.finish_load(load).unwrap();
        assert_eq!((summary.sealed, summary.completed), (1, 0));
        assert_eq!(batch(store, "b").total, Some(4));
        assert_eq!(store.finish_load(load).unwrap().sealed, 0);
    });
}

#[test]
fn a_load_that_died_seals_nothing_and_the_next_one_does() {
    on_every_store(|store| {
        let dead = store.begin_load(LoadKind::Full).unwrap();
        store.load_recipients(dead, &rows("b", 2)).unwrap();
        store
            .load_batches(dead, &[batch_row("c", Some(1), true, None)])
            .unwrap();
        let next = store.begin_load(LoadKind::Increment).unwrap();
        assert_eq!(
            store.mappings(MappingCursor::default(), 9).unwrap().0.len(),
            2
        );
        store.finish_load(next).unwrap();
        assert_eq!(batch(store, "b").total, None);
        assert_eq!(store.export().unwrap().batches.len(), 1);
        full(store, "b", 2);
        assert_eq!(batch(store, "b").total, Some(2));
    });
}
