//! Dead letters and checkpoints.

use super::reference::ReferenceStore;
use hookflow::event::{Headers, Millis, Origin, Reason, ReasonCode, Reject, Stage};
use hookflow::state::postgres;
use hookflow::state::sqlite::{SqliteReader, SqliteStore};
use hookflow::state::view::StateReader;
use hookflow::state::{Checkpoint, Prune, StateStore};

use super::database::Database;
use super::world::*;

fn reject(index: u32, seconds: i64) -> Reject {
    Reject {
        origin: Origin::default(),
        provider: provider(),
        user: user(),
        stage: Stage::Decode,
        index,
        reason: Reason::new(ReasonCode::BadShape, "no field `event`"),
        raw: vec![0, 159, 146, 150].into(),
        body_sha256: [7; 32],
        headers: Headers::from_pairs([("x", "y")]),
        received_at: at(seconds),
    }
}

#[test]
fn a_repeat_raises_the_attempts_and_adds_no_row() {
    let started = Millis::now();
    let dir = tempfile::tempdir().unwrap();
    let mut memory = ReferenceStore::new();
    let mut embedded = SqliteStore::open(dir.path()).unwrap();
    let database = Database::if_available();
    let mut server = database.as_ref().map(Database::open);
    let mut stores: Vec<&mut dyn StateStore> = vec![&mut memory, &mut embedded];
    stores.extend(server.iter_mut().map(|store| store as &mut dyn StateStore));
    for store in stores {
        store
            .write_dead_letters(&[reject(1, 5), reject(0, 5), reject(1, 3)])
            .unwrap();
        let last = Reject {
            origin: Origin {
                partition: 3,
                offset: 77,
            },
            ..reject(1, 9)
        };
        store.write_dead_letters(&[last]).unwrap();
    }
    let mut readers: Vec<Box<dyn StateReader>> =
        vec![Box::new(SqliteReader::open(dir.path()).unwrap())];
    readers.extend(database.iter().map(|database| {
        let reader = postgres::PostgresReader::open(database.settings.clone()).unwrap();
        Box::new(reader) as Box<dyn StateReader>
    }));
    for reader in &mut readers {
        let mut letters = reader.dead_letters(10).unwrap();
        assert!(letters.iter().all(|letter| letter.raw.is_none()));
        for letter in &mut letters {
            *letter = reader.dead_letter(&letter.id[..12]).unwrap().unwrap();
        }
        letters.sort_by(|a, b| a.id.cmp(&b.id));
        let mut expected = memory.dead_letters();
        for (letter, expected) in letters.iter().zip(&mut expected) {
            assert!(letter.last_seen >= started, "of the time of storing");
            expected.last_seen = letter.last_seen;
        }
        assert_eq!(letters, expected);
        assert_eq!(reader.dead_letter("").unwrap(), None);
    }
    let letters = memory.dead_letters();
    let second = letters.iter().find(|letter| letter.index == 1).unwrap();
    assert_eq!((second.attempts, second.first_seen), (3, at(3)));
    assert_eq!(second.delivery, "3-77", "of the copy stored last");
    assert_eq!(second.headers.as_deref(), Some(r#"{"x":"y"}"#));
}

#[test]
fn old_dead_letters_are_pruned() {
    on_every_store(|store| {
        store
            .write_dead_letters(&[reject(0, 1), reject(1, 2), reject(2, 9)])
            .unwrap();
        // Their deliveries were received long ago; what counts is when they were stored.
        let before = |before: Millis| Prune {
            dead_letters_before: Some(before),
            ..Prune::default()
        };
        assert_eq!(store.prune(&before(at(99)), 1).unwrap().dead_letters, 0);
        let soon = Millis(Millis::now().0 + 60_000);
        assert_eq!(store.drop_dead_letters(soon, 2).unwrap(), 2);
        assert_eq!(store.prune(&before(soon), 1).unwrap().dead_letters, 1);
        assert_eq!(store.prune(&before(soon), 1).unwrap().dead_letters, 0);
    });
}

#[test]
fn dead_letters_with_headers_that_are_no_text_can_be_shown() {
    let odd = Reject {
        headers: Headers::from_json(b"{\"x\":\"\xff\"}".to_vec().into()),
        ..reject(0, 1)
    };
    let dir = tempfile::tempdir().unwrap();
    let mut embedded = SqliteStore::open(dir.path()).unwrap();
    embedded
        .write_dead_letters(std::slice::from_ref(&odd))
        .unwrap();
    let mut readers: Vec<Box<dyn StateReader>> =
        vec![Box::new(SqliteReader::open(dir.path()).unwrap())];
    let database = Database::if_available();
    if let Some(database) = &database {
        database
            .open()
            .write_dead_letters(std::slice::from_ref(&odd))
            .unwrap();
        let reader = postgres::PostgresReader::open(database.settings.clone());
        readers.push(Box::new(reader.unwrap()));
    }
    for reader in &mut readers {
        let id = reader.dead_letters(1).unwrap().remove(0).id;
        let shown = reader.dead_letter(&id).unwrap().unwrap();
        assert_eq!(shown.headers.as_deref(), Some("{\"x\":\"\u{fffd}\"}"));
    }
}

#[test]
fn a_checkpoint_replaces_that_of_its_lane() {
    on_every_store(|store| {
        let partition = |job: &str, partition: &str, offset| Checkpoint {
            job: job.into(),
            partition: partition.into(),
            offset,
            proof: "abc".into(),
            finished: offset > 5,
        };
        store
            .checkpoint(&[
                partition("j", "a", 1),
                partition("j", "b", 2),
                partition("k", "a", 3),
            ])
            .unwrap();
        store.checkpoint(&[partition("j", "a", 9)]).unwrap();
        assert_eq!(
            store.checkpoints("j").unwrap(),
            [partition("j", "a", 9), partition("j", "b", 2)]
        );
        assert!(store.checkpoints("none").unwrap().is_empty());
    });
}
