//! The oracle must be able to go red: each wrong design is caught within a minute.

use std::time::{Duration, Instant};

use crate::judge::judge;
use crate::process::Replay;
use crate::world::World;

/// Runs worlds with a wrong design until the oracle objects; its objection.
fn caught(name: &str, crashes: &[&str]) -> String {
    let started = Instant::now();
    for seed in 30_000.. {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{name} is not caught in {} worlds",
            seed - 30_000
        );
        let world = World::new(seed, 400, 10);
        let fair = Replay::new(&world, "fair", 4).small(5);
        fair.succeed().unwrap();
        judge(&world, &fair.store).unwrap();
        let wrong = Replay::new(&world, "wrong", 4)
            .small(5)
            // The memory forgets at once: what repeats, reaches the store.
            .with("HOOKFLOW_DEDUP_KEYS_MAX", 1)
            .with("HOOKFLOW_WRONG", name);
        for crash in crashes {
            wrong.clone().with("HOOKFLOW_CRASH", crash).end().unwrap();
        }
        let ended = wrong.succeed();
        if let Err(objection) = ended.and_then(|()| judge(&world, &wrong.store)) {
            println!("{name}: {objection} ({:?})", started.elapsed());
            return objection;
        }
    }
    unreachable!()
}

#[test]
fn wrong_mark_before_write() {
    caught("mark-before-write", &["store.apply:after:1"]);
}

#[test]
fn wrong_last_write_wins() {
    let objection = caught("last-write-wins", &[]);
    assert!(objection.contains("status"), "{objection}");
}

#[test]
fn wrong_count_every_event() {
    caught("count-every-event", &[]);
}

#[test]
fn wrong_skip_the_log_for_duplicates() {
    let objection = caught("skip-the-log-for-duplicates", &["store.apply:after:2"]);
    assert!(objection.contains("logged event missing"), "{objection}");
}

#[test]
fn wrong_acknowledge_the_maximum() {
    let crashes = ["store.checkpoint:after:1", "store.checkpoint:after:2"];
    caught("acknowledge-the-maximum", &crashes);
}
