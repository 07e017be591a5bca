//! Death at each named I/O edge of the embedded job, before and after the call; for edges towards servers see the fleet's.

use std::collections::BTreeSet;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hookflow::failpoint::Failpoint;

use crate::judge::{judge, judge_pruned};
use crate::process::{self, Replay};
use crate::seeds::each;
use crate::world::World;

/// How a process that a crash point ended looks; one that was not reached ended well.
pub fn died(status: ExitStatus) -> Result<bool, String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.success()) {
        (Some(_), _) => Ok(true),
        (None, true) => Ok(false),
        (None, false) => Err(format!("neither crash nor success: {status}")),
    }
}

fn crash(replay: &Replay<'_>, spec: &str) -> Result<bool, String> {
    let crashing = replay.clone().with("HOOKFLOW_CRASH", spec);
    let died = died(crashing.end()?)?;
    replay.succeed()?;
    judge(replay.world, &replay.store)?;
    Ok(died)
}

fn prune(replay: &Replay<'_>, crash: Option<&str>) -> Result<ExitStatus, String> {
    let mut command = Command::new(process::BINARY);
    command
        .args(["prune", "--before", "2026-03-02T18:00:00Z", "--store"])
        .arg(&replay.store)
        .envs(replay.env.iter().map(|(name, value)| (name, value)));
    if let Some(crash) = crash {
        command.env("HOOKFLOW_CRASH", crash);
    }
    process::run(command, "prune")
}

/// Prunes in the face of a crash; a replay of everything then changes nothing.
fn crash_prune(replay: &Replay<'_>, spec: &str) -> Result<bool, String> {
    replay.succeed()?;
    let died = died(prune(replay, Some(spec))?)?;
    if !prune(replay, None)?.success() {
        return Err("prune fails after a crash".to_owned());
    }
    judge_pruned(replay.world, &replay.store)?;
    replay.succeed()?;
    judge_pruned(replay.world, &replay.store)?;
    Ok(died)
}

/// Edges towards servers: the embedded job does not pass them; members of a fleet die at them.
pub const SERVERS: [Failpoint; 6] = [
    Failpoint::LogConnect,
    Failpoint::LogMigrate,
    Failpoint::LogInsert,
    Failpoint::SourceConnect,
    Failpoint::SourceFetch,
    Failpoint::SourceAcknowledge,
];

#[test]
fn crash_points() {
    let points: Vec<Failpoint> = Failpoint::ALL
        .iter()
        .copied()
        .filter(|point| !SERVERS.contains(point))
        .collect();
    let world = [World::new(20_000, 600, 20), World::new(20_001, 600, 20)];
    let moments = ["before:1", "after:1", "before:3", "after:5"];
    let cases = points.len() * moments.len();
    let (deaths, crashed) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    let passed = world[0].path("points");
    each(cases as u64, |case| {
        let case = usize::try_from(case).unwrap();
        let (point, moment) = (points[case / moments.len()], moments[case % moments.len()]);
        let spec = format!("{}:{moment}", point.name());
        let replay = Replay::new(&world[case % 2], &format!("store-{case}"), 1 + case % 3)
            .small(10)
            .with("HOOKFLOW_POINTS", passed.display());
        let died = match point {
            Failpoint::StorePrune => crash_prune(&replay, &spec),
            _ => crash(&replay, &spec),
        };
        if died.map_err(|error| format!("{spec}: {error}"))? {
            deaths.fetch_add(1, Ordering::SeqCst);
            crashed.lock().unwrap().insert(point.name());
        }
        std::fs::remove_dir_all(&replay.store).unwrap();
        Ok(())
    });
    let passed = std::fs::read_to_string(passed).unwrap();
    let (passed, crashed): (BTreeSet<&str>, _) =
        (passed.lines().collect(), crashed.into_inner().unwrap());
    let all: BTreeSet<&str> = points.iter().map(|point| point.name()).collect();
    println!("{} points, {} deaths", all.len(), deaths.into_inner());
    let never: Vec<_> = all.difference(&passed).collect();
    assert!(never.is_empty(), "no run passes {never:?}");
    let survived: Vec<_> = all.difference(&crashed).collect();
    assert!(survived.is_empty(), "no run died at {survived:?}");
}
