//! The health of a running source, for `/readyz` and for the job.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Fatal;

/// What is wrong with a source. Clones share their state; texts name no address, secret or payload.
#[derive(Clone, Debug, Default)]
pub struct SourceHealth(Arc<Mutex<Problems>>);

#[derive(Debug, Default)]
struct Problems {
    /// By the part of the source that reported them.
    degraded: BTreeMap<&'static str, String>,
    failure: Option<Fatal>,
}

impl SourceHealth {
    /// Reports a problem of one part of the source and replaces its earlier one. The job is not ready until
    /// [`recovered`](Self::recovered) is called for the same part.
    pub fn degraded(&self, part: &'static str, reason: impl Into<String>) {
        let reason = reason.into();
        let earlier = self.lock().degraded.insert(part, reason.clone());
        if earlier.as_ref() != Some(&reason) {
            tracing::warn!(part, reason, "the source is degraded");
        }
    }

    /// Clears the problem of one part.
    pub fn recovered(&self, part: &'static str) {
        if self.lock().degraded.remove(part).is_some() {
            tracing::info!(part, "the source has recovered");
        }
    }

    /// Ends the job: the source cannot go on. The first such error counts.
    pub fn fail(&self, fatal: Fatal) {
        self.lock().failure.get_or_insert(fatal);
    }

    /// The current problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().degraded.values().cloned().collect()
    }

    /// Takes the error that ends the job.
    pub fn take_failure(&self) -> Option<Fatal> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, Problems> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn problems_stand_until_recovered_and_the_first_failure_counts() {
        let health = SourceHealth::default();
        health.degraded("consumer", "it is gone");
        health.degraded("stream", "it lost messages");
        health.degraded("consumer", "it is gone for good");
        assert_eq!(
            health.problems(),
            ["it is gone for good", "it lost messages"]
        );
        health.recovered("consumer");
        assert_eq!(health.problems(), ["it lost messages"]);
        health.fail(Fatal::new(Exit::Config, "first"));
        health.fail(Fatal::new(Exit::Config, "second"));
        let failure = health.take_failure().map(|fatal| fatal.message);
        assert_eq!(failure.as_deref(), Some("first"));
        assert!(health.take_failure().is_none());
    }
}
