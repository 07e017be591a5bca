//! The source of a job, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::request::{Input, JobRequest, Rate, Sample};
use crate::error::{Exit, Fatal};
use crate::generator::{GeneratorConfig, Supply};
use crate::source::connector::{Connector, Source, SourceError};
use crate::source::context::SourceContext;
use crate::source::file::connector::FileConnector;
use crate::source::file::inputs::{self, FileInput};
use crate::source::generator::GeneratorConnector;
use crate::source::pace::Pace;
use crate::source::replay::ReplayRange;
use crate::source::{EnvelopeDefaults, RecordSender};

/// Deliveries of each world of a generator that has no end.
const WORLD: u64 = 100_000;

/// What a request reads.
pub fn connector(request: &JobRequest) -> Box<dyn Connector> {
    match &request.input {
        Input::Live { .. } | Input::Replay(_) => request.plan.connector(),
        Input::Generator(sample) => Box::new(generator(sample)),
        Input::Files { paths, .. } => {
            let body_bytes_max = request.plan.decode_options().body_bytes_max;
            let defaults = envelope_defaults(request);
            Box::new(FileConnector::new(paths, defaults, body_bytes_max))
        }
        // Resolved to files before a job starts.
        Input::Demo => Box::new(FileConnector::new(&[""; 0], envelope_defaults(request), 0)),
    }
}

/// The source of a request. It connects to nothing before it runs.
pub fn source(request: &JobRequest) -> Result<Box<dyn Source>, SourceError> {
    let connector = connector(request);
    match &request.input {
        Input::Live { .. } | Input::Generator(_) => connector.live(),
        Input::Replay(range) => connector.replay(*range),
        Input::Files { .. } | Input::Demo => connector.replay(ReplayRange::default()),
    }
}

/// What envelopes leave out, as the request says.
pub fn envelope_defaults(request: &JobRequest) -> EnvelopeDefaults {
    let provider = match &request.input {
        Input::Files { provider, .. } | Input::Live { provider } => provider.clone(),
        Input::Demo | Input::Replay(_) | Input::Generator(_) => None,
    };
    request.plan.envelope_defaults(provider)
}

fn generator(sample: &Sample) -> GeneratorConnector {
    let pace = Pace::from(sample.rate);
    let supply = match (sample.deliveries, pace.per_second) {
        (None, _) => Supply::Endless,
        (Some(_), None) => Supply::Beforehand,
        (Some(_), Some(_)) => Supply::Meanwhile,
    };
    GeneratorConnector {
        settings: GeneratorConfig {
            seed: sample.seed,
            deliveries: sample.deliveries.unwrap_or(WORLD),
            users: sample.users,
            ..GeneratorConfig::default()
        },
        supply,
        pace,
    }
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        let per_second = match rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate),
        };
        Self { per_second }
    }
}

/// A source that runs.
pub struct RunningSource {
    /// Disconnected when its thread has ended; none for sources that have nothing left to do once they are read.
    ended: Option<Receiver<()>>,
}

impl RunningSource {
    /// Starts a source on a thread of its own.
    pub fn start(source: Box<dyn Source>, context: SourceContext) -> Result<Self, Fatal> {
        let (running, ended) = crossbeam_channel::bounded(0);
        let ended = source.commits_offsets().then_some(ended);
        let health = context.health.clone();
        // The workers end when nobody can send records any more: not before a failure is recorded.
        let records = ended.is_none().then(|| context.records.clone());
        let run = move || {
            if let Err(fatal) = source.run(context) {
                health.fail(fatal);
            }
            drop::<(Option<RecordSender>, Sender<()>)>((records, running));
        };
        // The thread is not joined: a read that blocks on standard input cannot be interrupted, and need not be.
        let thread = std::thread::Builder::new().name("source".into()).spawn(run);
        thread.map_err(|error| {
            Fatal::new(Exit::Internal, format!("no thread for the source: {error}"))
        })?;
        Ok(Self { ended })
    }

    /// Waits for a source that commits; false if it has not ended by then.
    pub fn has_ended_within(&self, wait: Duration) -> bool {
        let Some(ended) = &self.ended else {
            return true;
        };
        ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Asks a running source to stop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Nothing more is to be read.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Raised once nothing more is to be read.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// The files of a request whose progress is stored in checkpoints, by name.
pub fn resumable_files(request: &JobRequest) -> Vec<String> {
    let Input::Files { paths, provider } = &request.input else {
        return Vec::new();
    };
    let paths = paths.iter().map(|path| path.display().to_string());
    let inputs = inputs::expand(&paths.collect::<Vec<_>>(), provider.is_some());
    let resumable = inputs.iter().filter(|input| input.is_resumable());
    resumable.map(FileInput::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// Drops its context, and fails once the test asks for it.
    struct Failing {
        dropped: Sender<()>,
        fail: Receiver<()>,
    }

    impl Source for Failing {
        fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
            drop(context);
            self.dropped.send(()).unwrap();
            self.fail.recv().unwrap();
            Err(Fatal::new(Exit::Input, "it failed"))
        }
    }

    #[test]
    fn a_failure_is_recorded_before_the_workers_see_the_end() {
        let (dropped, has_dropped) = crossbeam_channel::bounded(1);
        let (fail, failing) = crossbeam_channel::bounded(1);
        let source = Box::new(Failing {
            dropped,
            fail: failing,
        });
        let (records, receivers) = RecordSender::channels(1, 1);
        let metrics = Metrics::new([]);
        let context = SourceContext::new(records, crossbeam_channel::never(), metrics);
        let health = context.health.clone();
        let running = RunningSource::start(source, context).unwrap();
        has_dropped.recv().unwrap();
        assert!(receivers.workers[0].try_recv().unwrap_err().is_empty());
        fail.send(()).unwrap();
        assert!(receivers.workers[0].recv().is_err());
        assert!(health.take_failure().is_some());
        assert!(running.has_ended_within(Duration::ZERO));
    }
}
