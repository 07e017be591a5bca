//! Test-only: dying at a named point, recording the points passed, and the wrong designs that the oracle must catch.
//!
//! | variable | meaning |
//! |---|---|
//! | `HOOKFLOW_CRASH` | `NAME:before:N` or `NAME:after:N`: abort at the N-th pass (from 1) of that point and moment |
//! | `HOOKFLOW_POINTS` | a file to which the name of each point is appended at its first pass |
//! | `HOOKFLOW_WRONG` | the name of one wrong design to run with, see [`Wrong`] |
//! | `HOOKFLOW_POISON` | a text: decoding a delivery whose body (as it came) holds it aborts the process |
//! | `HOOKFLOW_SLOW` | a text: decoding a delivery whose body holds it takes half a second; poison kills while one of these is decoded beside it |
#![allow(
    clippy::disallowed_methods,
    reason = "this module makes the forbidden calls for all others"
)]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Failpoint, FailpointTiming};

/// A design that loses or doubles events. Each stays as a switch under which the oracle must go red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The ledger is committed before the effects.
    MarkBeforeWrite,
    /// A recipient's status is that of the last event.
    LastWriteWins,
    /// Totals grow by every copy.
    CountEveryEvent,
    /// What the state store calls a duplicate is not logged.
    SkipLogForDuplicates,
    /// The highest settled position is acknowledged, not the contiguous prefix.
    AcknowledgeMaximum,
    /// What is durable in the state store is acknowledged, whether it is in the log or not.
    AcknowledgeBeforeLog,
    /// Every record that was being decoded in three crashes is taken for poison, and none is decoded alone.
    BlameByPresence,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 7] = [
        Wrong::MarkBeforeWrite,
        Wrong::LastWriteWins,
        Wrong::CountEveryEvent,
        Wrong::SkipLogForDuplicates,
        Wrong::AcknowledgeMaximum,
        Wrong::AcknowledgeBeforeLog,
        Wrong::BlameByPresence,
    ];

    /// The name that selects it.
    pub const fn name(self) -> &'static str {
        match self {
            Wrong::MarkBeforeWrite => "mark-before-write",
            Wrong::LastWriteWins => "last-write-wins",
            Wrong::CountEveryEvent => "count-every-event",
            Wrong::SkipLogForDuplicates => "skip-the-log-for-duplicates",
            Wrong::AcknowledgeMaximum => "acknowledge-the-maximum",
            Wrong::AcknowledgeBeforeLog => "acknowledge-before-the-log",
            Wrong::BlameByPresence => "blame-by-presence",
        }
    }
}

static WRONG: LazyLock<Option<Wrong>> = LazyLock::new(|| {
    let name = std::env::var("HOOKFLOW_WRONG").ok()?;
    Wrong::ALL.into_iter().find(|wrong| wrong.name() == name)
});

/// Whether this process runs with that wrong design.
pub fn wrong(which: Wrong) -> bool {
    *WRONG == Some(which)
}

struct Crash {
    name: String,
    after: bool,
    countdown: AtomicU64,
}

static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
    let spec = std::env::var("HOOKFLOW_CRASH").ok()?;
    let mut parts = spec.split(':');
    Some(Crash {
        name: parts.next()?.to_owned(),
        after: parts.next()? == "after",
        countdown: AtomicU64::new(parts.next()?.parse().ok()?),
    })
});

static POISON: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let text = std::env::var("HOOKFLOW_POISON").ok()?;
    (!text.is_empty()).then(|| text.into_bytes())
});

static SLOW: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let text = std::env::var("HOOKFLOW_SLOW").ok()?;
    (!text.is_empty()).then(|| text.into_bytes())
});

/// How many slow bodies are being decoded.
static SLOW_NOW: AtomicU64 = AtomicU64::new(0);
/// How long a slow body takes, and how long poison waits at most for a slow body beside it.
const SLOW_TAKES: Duration = Duration::from_millis(500);
const POISON_WAITS: Duration = Duration::from_secs(1);

/// A body is about to be decoded: one that is slow takes its time, one that is poison kills the process.
pub fn decoding(body: &[u8]) {
    if holds(body, SLOW.as_ref()) {
        SLOW_NOW.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(SLOW_TAKES);
        SLOW_NOW.fetch_sub(1, Ordering::SeqCst);
    }
    if holds(body, POISON.as_ref()) {
        let started = Instant::now();
        while SLOW.is_some()
            && SLOW_NOW.load(Ordering::SeqCst) == 0
            && started.elapsed() < POISON_WAITS
        {
            std::thread::yield_now();
        }
        std::process::abort();
    }
}

fn holds(body: &[u8], text: Option<&Vec<u8>>) -> bool {
    text.is_some_and(|text| body.windows(text.len()).any(|part| part == text))
}

static PASSED: Mutex<BTreeSet<Failpoint>> = Mutex::new(BTreeSet::new());

/// Records the pass, and dies if this is the one.
pub fn reach(point: Failpoint, moment: FailpointTiming) {
    record(point);
    let Some(crash) = CRASH.as_ref() else { return };
    if crash.name != point.name() || crash.after != (moment == FailpointTiming::After) {
        return;
    }
    if crash.countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}

fn record(point: Failpoint) {
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if !passed.insert(point) {
        return;
    }
    let Ok(path) = std::env::var("HOOKFLOW_POINTS") else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    if let Ok(mut file) = file {
        writeln!(file, "{}", point.name()).unwrap_or_default();
    }
}
