//! The writer against scripted sinks.

mod failures;
mod groups;
mod sinks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::*;
use crate::epoch::ManualClock;
use crate::error::{Class, SinkError};
use crate::event::{Delivery, Reject, Stage};

/// Long enough for any machine; reached only by a test that fails.
const LONG: Duration = Duration::from_secs(20);

type Plan = Box<dyn FnMut(&[u64]) -> Result<(), SinkError> + Send>;
type Shared<T> = Arc<Mutex<Vec<T>>>;

/// A sink of numbers, whose every write a plan decides about; it answers each number with itself.
struct Scripted {
    plan: Plan,
    write_dead_letters: Box<dyn FnMut() -> Result<(), SinkError> + Send>,
    writes: Shared<Vec<u64>>,
    dead_letters: Shared<u32>,
}

impl Target for Scripted {
    type Row = u64;
    type DeadLetterContext = ();
    type Answer = u64;

    fn write(&mut self, rows: &[u64]) -> Result<Vec<u64>, SinkError> {
        (self.plan)(rows)?;
        self.writes.lock().unwrap().push(rows.to_vec());
        Ok(rows.to_vec())
    }

    fn reject(row: &u64, _: &(), error: &SinkError) -> Reject {
        reject(&Delivery::default(), *row as u32, Stage::State, error)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        (self.write_dead_letters)()?;
        let rows = rejects.iter().map(|reject| reject.index);
        self.dead_letters.lock().unwrap().extend(rows);
        Ok(())
    }
}

fn error(class: Class) -> SinkError {
    SinkError::new("test", class, "scripted")
}

/// A writer over a [`Scripted`] sink, with all that a test wants to see of it.
struct Bench {
    thread: WriterThread<Scripted>,
    clock: Arc<ManualClock>,
    writes: Shared<Vec<u64>>,
    dead_letters: Shared<u32>,
    replies: Receiver<(usize, Vec<RowResult<u64>>)>,
    sender: Sender<(usize, Vec<RowResult<u64>>)>,
    fatal: Receiver<Fatal>,
}

fn settings() -> WriterSettings {
    WriterSettings {
        rows_max: 10,
        probe_rows: 2,
        retry: RetryPolicy {
            base: Duration::ZERO,
            cap: Duration::ZERO,
            budget: None,
        },
        ..WriterSettings::new("test")
    }
}

fn bench(
    settings: &WriterSettings,
    clock: Arc<ManualClock>,
    plan: impl FnMut(&[u64]) -> Result<(), SinkError> + Send + 'static,
) -> Bench {
    bench_with_dead_letters(settings, clock, plan, || Ok(()))
}

fn bench_with_dead_letters(
    settings: &WriterSettings,
    clock: Arc<ManualClock>,
    plan: impl FnMut(&[u64]) -> Result<(), SinkError> + Send + 'static,
    write_dead_letters: impl FnMut() -> Result<(), SinkError> + Send + 'static,
) -> Bench {
    let (writes, dead_letters) = (Shared::default(), Shared::default());
    let target = Scripted {
        plan: Box::new(plan),
        write_dead_letters: Box::new(write_dead_letters),
        writes: Arc::clone(&writes),
        dead_letters: Arc::clone(&dead_letters),
    };
    let (fatal_sender, fatal) = unbounded();
    let (sender, replies) = unbounded();
    let on_fatal = move |error| fatal_sender.send(error).unwrap();
    let its_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    Bench {
        thread: spawn(settings, target, its_clock, on_fatal).unwrap(),
        clock,
        writes,
        dead_letters,
        replies,
        sender,
        fatal,
    }
}

/// Sends the results with a key that distinguishes jobs.
fn reply_to<K: Send + 'static, A: Send + 'static>(
    key: K,
    replies: Sender<(K, Vec<RowResult<A>>)>,
) -> Reply<A> {
    Reply::call(move |results| replies.send((key, results)).unwrap_or_default())
}

impl Bench {
    fn submit(&self, key: usize, rows: impl IntoIterator<Item = u64>) {
        let rows: Vec<u64> = rows.into_iter().collect();
        let contexts = vec![(); rows.len()];
        let reply = reply_to(key, self.sender.clone());
        assert!(
            self.thread
                .handle()
                .submit(WriteJob::new(rows, contexts, reply))
        );
    }

    fn reply(&self) -> (usize, Vec<RowResult<u64>>) {
        self.replies.recv_timeout(LONG).unwrap()
    }

    fn status(&self) -> Arc<SinkStatus> {
        Arc::clone(self.thread.handle().status())
    }
}

/// Waits until something holds that another thread brings about.
fn until(holds: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "it never came to hold");
        std::thread::yield_now();
    }
}
