//! What the sources over brokers share: how settlement comes back to them, and how they say that something is wrong.
//!
//! A broker's source lives longer than its reading. When it is asked to stop it hands out nothing more and drops its
//! [`RecordSender`], but goes on acknowledging until the settlement channel is closed: only then is everything that it handed out
//! durable, or the job has given up. Contract:
//!
//! * it acknowledges nothing above the settled floor of a partition that it was told;
//! * what it holds open it keeps leased at the broker, however long a sink is out of order;
//! * what it cannot mend (a consumer that is gone, messages that are lost) it says loudly, through [`SourceHealth`].

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Receiver;

use super::RecordSender;
use super::guard::AttemptStore;
use crate::error::Fatal;
use crate::metrics::Metrics;

/// Everything of a partition before `upto` is durable in every sink; floors of one partition only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition, as its parcels name it.
    pub partition: u32,
    /// Where the first position starts that is not settled.
    pub upto: u64,
}

/// What a running broker source works with.
#[derive(Debug)]
pub struct SourceContext {
    /// Where parcels go.
    pub feed: RecordSender,
    /// What became durable; disconnected when the job is over.
    pub settled: Receiver<Vec<Commit>>,
    /// Raised when nothing more is to be read.
    pub stop: Arc<AtomicBool>,
    /// How the source is.
    pub condition: SourceHealth,
    /// Whether the state store is out of order.
    pub state_breaker: StateBreaker,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
    /// Where it is kept which messages were in work, for the [guard](super::guard).
    pub attempts: Box<dyn AttemptStore>,
}

/// The state store's circuit breaker, as a source sees it. While it is open, a source asks for nothing more and lets the leases of
/// what it holds expire; both go on when a write has succeeded. Cheap to clone and to ask.
#[derive(Clone)]
pub struct StateBreaker(Arc<dyn Fn() -> bool + Send + Sync>);

impl StateBreaker {
    /// A breaker that is open when `is_open` says so.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_open))
    }

    /// Whether no write has succeeded since it opened.
    pub fn is_open(&self) -> bool {
        (self.0)()
    }
}

impl Default for StateBreaker {
    /// A breaker that is always closed.
    fn default() -> Self {
        Self::new(|| false)
    }
}

impl std::fmt::Debug for StateBreaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StateBreaker")
            .field(&self.is_open())
            .finish()
    }
}

/// A source over a broker. It runs on a thread of its own and returns when the settlement channel is closed and its last
/// acknowledgements are sent, or as soon as it has [failed](SourceHealth::fail).
pub trait BrokerSource: Send {
    /// Reads, hands out, acknowledges.
    fn run(self: Box<Self>, ends: SourceContext);
}

/// How a source is, for `/readyz` and for the job. Cheap to clone; texts name no address, secret or payload.
#[derive(Clone, Debug, Default)]
pub struct SourceHealth(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    troubles: BTreeMap<&'static str, String>,
    fatal: Option<Fatal>,
}

impl SourceHealth {
    /// Says that something is wrong, in place of what was said of it before; the job is not ready until it is well.
    pub fn degraded(&self, what: &'static str, why: impl Into<String>) {
        let why = why.into();
        let said = self.lock().troubles.insert(what, why.clone());
        if said.as_ref() != Some(&why) {
            tracing::warn!(what, why, "the source is in trouble");
        }
    }

    /// Says that it is well again.
    pub fn recovered(&self, what: &'static str) {
        if self.lock().troubles.remove(what).is_some() {
            tracing::info!(what, "the source is well again");
        }
    }

    /// SourceContext the job: the source cannot go on. The first such error counts.
    pub fn fail(&self, fatal: Fatal) {
        self.lock().fatal.get_or_insert(fatal);
    }

    /// What is wrong, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().troubles.values().cloned().collect()
    }

    /// The error that ends the job, once.
    pub fn take_failure(&self) -> Option<Fatal> {
        self.lock().fatal.take()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn troubles_stand_until_they_are_well_and_the_first_failure_counts() {
        let condition = SourceHealth::default();
        condition.degraded("consumer", "it is gone");
        condition.degraded("stream", "it lost messages");
        condition.degraded("consumer", "it is gone for good");
        assert_eq!(
            condition.problems(),
            ["it is gone for good", "it lost messages"]
        );
        condition.recovered("consumer");
        assert_eq!(condition.problems(), ["it lost messages"]);
        condition.fail(Fatal::new(Exit::Config, "first"));
        condition.fail(Fatal::new(Exit::Config, "second"));
        let failure = condition.take_failure().map(|fatal| fatal.message);
        assert_eq!(failure.as_deref(), Some("first"));
        assert!(condition.take_failure().is_none());
    }
}
