//! What a running source works with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::RecordSender;
use super::file::Resume;
use super::file::fingerprint::FileFingerprints;
use super::generator::NewRows;
use super::health::SourceHealth;
use crate::metrics::Metrics;

/// Everything of a partition before `offset` is durable in every sink. Offsets of one partition only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition, as its records name it.
    pub partition: u32,
    /// The first offset that is not settled.
    pub offset: u64,
}

/// What a running source is given: where its records go, and what comes back.
#[derive(Debug)]
pub struct SourceContext {
    /// Where records and partition events go.
    pub records: RecordSender,
    /// What became durable; disconnected when the job is over. Only for sources that
    /// [commit](super::connector::Source::commits_offsets).
    pub commits: Receiver<Vec<Commit>>,
    /// Raised when nothing more is to be read.
    pub stop: Arc<AtomicBool>,
    /// How the source is.
    pub health: SourceHealth,
    /// The job's metrics.
    pub metrics: Arc<Metrics>,
    /// Where an unfinished run of the same job stopped, by partition name.
    pub resume: HashMap<String, Resume>,
    /// Where the source notes what proves, at a later start, that a partition is still the same.
    pub fingerprints: FileFingerprints,
    /// Where recipients go that the source itself learns of while it runs.
    pub new_rows: Option<Sender<NewRows>>,
}

impl SourceContext {
    /// A context without anything to resume from, for sources that learn of no recipients.
    pub fn new(
        records: RecordSender,
        commits: Receiver<Vec<Commit>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            records,
            commits,
            stop: Arc::default(),
            health: SourceHealth::default(),
            metrics,
            resume: HashMap::new(),
            fingerprints: FileFingerprints::default(),
            new_rows: None,
        }
    }

    /// Whether nothing more is to be read.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
