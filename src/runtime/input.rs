//! The source of a job, on a thread of its own, and what its kind decides.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::request::{Input, JobRequest, Rate, Sample};
use crate::decode;
use crate::error::{Exit, Fatal};
use crate::event::Provider;
use crate::generator::{Settings, Supply, Tables};
use crate::metrics::Metrics;
use crate::source::broker::{BrokerSource, Commit, SourceContext, SourceHealth, StateBreaker};
use crate::source::file::witness::Proofs;
use crate::source::file::{FileOptions, FileSource, Resume};
use crate::source::generator::{GeneratorSource, NewRows, Pace, Spent};
use crate::source::guard::AttemptStore;
use crate::source::kafka::KafkaSource;
use crate::source::kafka::replay::KafkaReplay;
use crate::source::nats::NatsSource;
use crate::source::nats::replay::NatsReplay;
use crate::source::{EnvelopeDefaults, RecordSender};
use crate::state::Checkpoint;

/// Deliveries of each world of a generator that has no end.
const WORLD: u64 = 100_000;

/// A source that is ready to run.
pub enum Source {
    /// Files, folders, standard input.
    Files(FileSource),
    /// A generated world.
    Generator(Box<GeneratorSource>, Option<f64>),
    /// A broker's stream.
    Broker(Box<dyn BrokerSource>),
}

/// What a source is started with.
pub struct Start {
    /// Where parcels go.
    pub feed: RecordSender,
    /// Disconnected when nothing more is to be read.
    pub stop: Receiver<()>,
    /// Raised when nothing more is to be read.
    pub stopping: Arc<AtomicBool>,
    /// Where rows go that become known while the job runs.
    pub rows: Sender<NewRows>,
    /// What became durable.
    pub settled: Receiver<Vec<Commit>>,
    /// How the source is.
    pub condition: SourceHealth,
    /// Whether the state store is out of order.
    pub state_breaker: StateBreaker,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
    /// Where it is kept which messages were in work.
    pub attempts: Box<dyn AttemptStore>,
}

/// A source that runs.
pub struct Reading {
    /// Disconnected when its thread has ended; none for sources that have nothing left to do once they are read.
    ended: Option<Receiver<()>>,
}

impl Reading {
    /// Waits for a source that acknowledges; false if it has not ended by then.
    pub fn ended_within(&self, wait: Duration) -> bool {
        let Some(ended) = &self.ended else {
            return true;
        };
        ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Asks a running source to stop.
pub struct Brake {
    flag: Arc<AtomicBool>,
    sender: Option<Sender<()>>,
}

impl Brake {
    /// Raised once it is pulled.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// Nothing more is to be read.
    pub fn pull(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
        self.sender = None;
    }
}

/// What envelopes leave out, as the request says.
pub fn defaults(request: &JobRequest) -> EnvelopeDefaults {
    let provider: Option<Provider> = match &request.input {
        Input::Files { provider, .. } | Input::StandardInput { provider } => provider.clone(),
        _ => None,
    };
    EnvelopeDefaults {
        user: request.plan.default_user.clone(),
        provider,
        known: decode::providers().map(Provider::new).collect(),
    }
}

impl Source {
    /// Prepares the source of a request; `resume` holds what an unfinished run of the job settled.
    pub fn prepare(
        request: &JobRequest,
        resume: Vec<Checkpoint>,
        brake: &Brake,
    ) -> Result<Self, Fatal> {
        match &request.input {
            Input::Generator(sample) => Self::generator(sample),
            Input::Files { paths, .. } => Ok(Self::files(request, paths, resume, brake)),
            Input::Nats => {
                let source = NatsSource::new(request.plan.nats.clone());
                Ok(Self::Broker(Box::new(source)))
            }
            Input::NatsPast { since, until } => {
                let source = NatsReplay::new(request.plan.nats.clone(), *since, *until);
                Ok(Self::Broker(Box::new(source)))
            }
            Input::Kafka => {
                let source = KafkaSource::new(request.plan.kafka.clone());
                Ok(Self::Broker(Box::new(source)))
            }
            Input::KafkaPast { since, until } => {
                let source = KafkaReplay::new(request.plan.kafka.clone(), *since, *until);
                Ok(Self::Broker(Box::new(source)))
            }
            Input::StandardInput { .. } | Input::Demo => {
                let standard_input = [PathBuf::from("-")];
                Ok(Self::files(request, &standard_input, resume, brake))
            }
        }
    }

    fn generator(sample: &Sample) -> Result<Self, Fatal> {
        let settings = Settings {
            seed: sample.seed,
            deliveries: sample.deliveries.unwrap_or(WORLD),
            users: sample.users,
            ..Settings::default()
        };
        let rate = match sample.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate as f64),
        };
        let supply = match (sample.deliveries, rate) {
            (None, _) => Supply::Endless,
            (Some(_), None) => Supply::Beforehand,
            (Some(_), Some(_)) => Supply::Meanwhile,
        };
        let source = GeneratorSource::prepare(settings, supply).map_err(|error| {
            Fatal::new(
                Exit::Watchdog,
                format!("no thread for the generator: {error}"),
            )
        })?;
        Ok(Self::Generator(Box::new(source), rate))
    }

    fn files(
        request: &JobRequest,
        paths: &[PathBuf],
        resume: Vec<Checkpoint>,
        brake: &Brake,
    ) -> Self {
        let specs: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let resume: HashMap<String, Resume> = resume
            .into_iter()
            .map(|partition| {
                (
                    partition.partition,
                    Resume {
                        offset: partition.offset,
                        proof: partition.proof,
                    },
                )
            })
            .collect();
        let options = FileOptions {
            defaults: defaults(request),
            body_bytes_max: request.plan.decode_options().body_bytes_max,
            stop: Arc::clone(&brake.flag),
        };
        Self::Files(FileSource::new(&specs, resume, options))
    }

    /// Where the proofs of settled positions come from; none for sources that do not resume.
    pub fn proofs(&self) -> Option<Proofs> {
        match self {
            Source::Files(source) => Some(source.proofs()),
            Source::Generator(..) | Source::Broker(_) => None,
        }
    }

    /// The recipients and batches that the source itself knows.
    pub fn tables(&self) -> Option<&Tables> {
        match self {
            Source::Files(_) | Source::Broker(_) => None,
            Source::Generator(source, _) => Some(source.tables()),
        }
    }

    /// What making the deliveries costs beside the job; nothing for sources that take what is there.
    pub fn spent(&self) -> Spent {
        match self {
            Source::Files(_) | Source::Broker(_) => Spent::default(),
            Source::Generator(source, _) => source.spent(),
        }
    }

    /// Whether settled positions are told to the source, which acknowledges them.
    pub const fn acknowledges(&self) -> bool {
        matches!(self, Source::Broker(_))
    }

    /// Starts it on a thread of its own.
    pub fn start(self, start: Start) -> Result<Reading, Fatal> {
        let (running, ended) = crossbeam_channel::bounded(0);
        let ended = self.acknowledges().then_some(ended);
        let run = move || {
            self.run(start);
            drop::<Sender<()>>(running);
        };
        let thread = std::thread::Builder::new().name("source".into()).spawn(run);
        // The thread is not joined: a read that blocks on standard input cannot be interrupted, and need not be.
        match thread {
            Ok(_) => Ok(Reading { ended }),
            Err(error) => Err(Fatal::new(
                Exit::Watchdog,
                format!("no thread for the source: {error}"),
            )),
        }
    }

    fn run(self, start: Start) {
        let ended = match self {
            Source::Files(source) => source.run(start.feed),
            Source::Generator(source, rate) => {
                let (stop, rows) = (start.stop, Some(start.rows));
                source.run(start.feed, &Pace { rate, stop, rows })
            }
            Source::Broker(source) => {
                source.run(SourceContext {
                    feed: start.feed,
                    settled: start.settled,
                    stop: start.stopping,
                    condition: start.condition,
                    state_breaker: start.state_breaker,
                    metrics: start.metrics,
                    attempts: start.attempts,
                });
                Ok(())
            }
        };
        if ended.is_err() {
            tracing::debug!("the source was stopped before its end");
        }
    }
}

/// A brake and the end of it that a paced source listens to.
pub fn brake() -> (Brake, Receiver<()>) {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let brake = Brake {
        flag: Arc::default(),
        sender: Some(sender),
    };
    (brake, receiver)
}
