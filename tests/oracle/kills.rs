//! kill -9 at random moments: whatever was lost in memory, a later run finds the same result.

use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;

use crate::judge::judge;
use crate::process::{self, Replay};
use crate::seeds::each;
use crate::world::{World, random};

/// How long it took, if it ended by itself before that moment.
fn ends_within(child: &mut Child, moment: Duration) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < moment {
        if child.try_wait().unwrap().is_some() {
            return Some(started.elapsed());
        }
        process::pause(Duration::from_millis(1));
    }
    child.try_wait().unwrap().map(|_| moment)
}

#[test]
fn kills() {
    let (kills, misses) = (AtomicU64::new(0), AtomicU64::new(0));
    each(12, |number| {
        let seed = 10_000 + number;
        let world = World::new(seed, 600, 20);
        let mut random = random(seed, 4);
        let workers = [1, 2, 4][random.random_range(0..3)];
        let normal = Replay::new(&world, "normal", workers).small(10);
        let started = Instant::now();
        normal.succeed()?;
        // How long a run takes; what is read already makes later ones shorter.
        let mut usual = started.elapsed();
        judge(&world, &normal.store)?;
        let killed = Replay {
            store: world.path("killed"),
            ..normal
        };
        for _ in 0..8 {
            let mut child = killed.start();
            let moment = usual.mul_f64(random.random_range(0.0..1.0));
            match ends_within(&mut child, moment) {
                Some(took) => {
                    misses.fetch_add(1, Ordering::SeqCst);
                    usual = usual.min(took);
                }
                None => {
                    kills.fetch_add(1, Ordering::SeqCst);
                }
            }
            child.kill().unwrap_or_default();
            process::wait(child, Duration::from_secs(10), "a killed process")?;
        }
        killed.succeed()?;
        judge(&world, &killed.store).map_err(|error| format!("after kills: {error}"))
    });
    let kills = kills.into_inner();
    println!("{kills} kills, {} came too late", misses.into_inner());
    assert!(kills >= 50, "only {kills} kills hit a running process");
}
