//! Whatever the order, the copies, the workers and the windows: the result is the naive fold's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::judge::judge;
use crate::process::Replay;
use crate::world::{World, random};

/// Runs `case` for each number below `cases`, two at a time; all errors, first ones first.
pub fn each(cases: u64, case: impl Fn(u64) -> Result<(), String> + Sync) {
    let (next, errors) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= cases {
                break;
            }
            if let Err(error) = case(number) {
                errors.lock().unwrap().push(error);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let errors = errors.into_inner().unwrap();
    assert!(
        errors.is_empty(),
        "{} of {cases} went wrong:\n{}",
        errors.len(),
        errors[..errors.len().min(5)].join("\n")
    );
}

fn settings<'a>(world: &'a World, store: &str) -> Replay<'a> {
    let mut random = random(world.seed, 2);
    let mut any = |from: &[u64]| *from.choose(&mut random).unwrap();
    let workers = usize::try_from(any(&[1, 2, 4])).unwrap();
    Replay::new(world, store, workers)
        .with("HOOKFLOW_STATE_WINDOW_ROWS_MAX", any(&[1, 7, 50, 1000]))
        .with("HOOKFLOW_LOG_WINDOW_ROWS_MAX", any(&[10, 50, 1000]))
        .with(
            "HOOKFLOW_LOG_WINDOW_AGE_MAX",
            format!("{}ms", any(&[5, 50, 500])),
        )
        .with("HOOKFLOW_DEAD_LETTER_WINDOW_ROWS_MAX", any(&[1, 100]))
        .with("HOOKFLOW_JOB_TICK", format!("{}ms", any(&[1, 10, 50])))
        .with("HOOKFLOW_JOB_CHANNEL_DEPTH", any(&[1, 8]))
        .with("HOOKFLOW_DEDUP_KEYS_MAX", any(&[1, 64, 100_000]))
}

#[test]
fn equal_over_seeds() {
    let started = Instant::now();
    each(240, |seed| {
        let mut random = random(seed, 3);
        let deliveries = random.random_range(100..=300);
        let world = World::new(seed, deliveries, random.random_range(1..=20));
        let replay = settings(&world, "store");
        replay.succeed()?;
        judge(&world, &replay.store)?;
        if seed % 4 == 0 {
            // A finished job reads everything again, and changes nothing.
            replay.succeed()?;
            judge(&world, &replay.store).map_err(|error| format!("second run, {error}"))?;
        }
        Ok(())
    });
    println!("240 seeds in {:?}", started.elapsed());
}
