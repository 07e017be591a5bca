//! What is asked of a job: every option resolved, nothing left to resolve.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Plan;
use crate::event::{Millis, Provider};
use crate::source::replay::ReplayRange;

/// A job as the command line resolved it.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The settings; `--workers` and `--store` are laid over them already.
    pub plan: Plan,
    /// Where deliveries come from.
    pub input: Input,
    /// Whom they concern.
    pub snapshot: SnapshotFiles,
    /// Which events count.
    pub range: TimeRange,
    /// Its name; without one it is the fingerprint of (source, filters, store).
    pub name: Option<String>,
    /// Where outcomes become durable.
    pub sinks: SinkMode,
    /// Remove what the store holds before the start.
    pub fresh: bool,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// No bar and no progress lines.
    pub quiet: bool,
}

impl JobRequest {
    /// A job over `input` with everything else as it usually is.
    pub fn new(plan: Plan, input: Input) -> Self {
        let metrics = plan.metrics_address(input.is_finite());
        Self {
            plan,
            input,
            snapshot: SnapshotFiles::default(),
            range: TimeRange::default(),
            name: None,
            sinks: SinkMode::Durable,
            fresh: false,
            metrics,
            quiet: false,
        }
    }

    /// Whether its deliveries concern recipients that neither the source itself nor the user's own tables make known.
    pub const fn needs_recipients(&self) -> bool {
        let generated = matches!(self.input, Input::Generator(_) | Input::Demo);
        !generated && self.plan.recipients.tables.is_none()
    }
}

/// Where deliveries come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The demonstration: sample data, made in the store's folder on first use, then replayed.
    Demo,
    /// Files: lines of deliveries (`.jsonl`, also `.gz` and `.zst`), or folders of bodies of one provider.
    Files {
        /// Paths as given; patterns are the shell's or `glob`'s.
        paths: Vec<PathBuf>,
        /// The provider of deliveries that name none; needed for folders of bodies.
        provider: Option<Provider>,
    },
    /// What `source.live` names: a broker, or lines of deliveries from standard input. Does not end.
    Live {
        /// The provider of deliveries that name none.
        provider: Option<Provider>,
    },
    /// The past of the broker that `source.live` names, which ends.
    Replay(ReplayRange),
    /// A generator, for ever or for a number of deliveries.
    Generator(Sample),
}

impl Input {
    /// Whether it ends by itself.
    pub const fn is_finite(&self) -> bool {
        match self {
            Input::Demo | Input::Files { .. } | Input::Replay(_) => true,
            Input::Generator(sample) => sample.deliveries.is_some(),
            Input::Live { .. } => false,
        }
    }
}

/// Whom deliveries concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFiles {
    /// Recipients (CSV or JSONL), loaded before the first delivery is read.
    pub recipients: Vec<PathBuf>,
    /// Batches with totals, sealing and deadlines.
    pub batches: Option<PathBuf>,
    /// Recipients that become known only after all deliveries are read.
    pub late: Option<PathBuf>,
}

/// Event times that count; outside of it an event is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// From this on.
    pub from: Option<Millis>,
    /// Up to and without this.
    pub to: Option<Millis>,
}

/// Where outcomes become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkMode {
    /// In the store.
    Durable,
    /// Nowhere: measures the dataflow alone.
    Null,
    /// Nowhere, but counted exactly as if.
    DryRun,
}

/// How fast a generator goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as they are taken.
    Max,
    /// Deliveries a second.
    PerSecond(u64),
}

/// Generated deliveries, with the recipients and batches they concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The same seed makes the same sample.
    pub seed: u64,
    /// How many deliveries; none: for ever.
    pub deliveries: Option<u64>,
    /// How many tenants they concern.
    pub users: u32,
    /// How fast.
    pub rate: Rate,
}
