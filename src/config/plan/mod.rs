//! The plan: the parsed and checked settings that the rest of the program uses.
//!
//! Contract: units are in the types; every queue, window, retry and wait has its limit here; an existing `Plan` is valid.

mod sections;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::errors::{ConfigError, ConfigErrors};
use super::layers::Layers;
use super::read::SettingReader;
use super::recipients::RecipientsConfig;
use super::sources::LiveSource;
use crate::decode;
use crate::event::User;
use crate::log::clickhouse;
use crate::source::{kafka, nats};
use crate::state::postgres::PostgresConfig;

/// All settings of a job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Worker threads of the dataflow.
    pub workers: NonZeroUsize,
    /// How coarse progress is.
    pub tick: Duration,
    /// Where the source stops reading.
    pub in_flight: InFlightLimits,
    /// Records that wait before each worker.
    pub channel_depth: NonZeroUsize,
    /// The tenant of deliveries that name none.
    pub default_user: User,
    /// How bodies are read: see [`Plan::decode_options`].
    decode: decode::DecodeConfig,
    /// What memory remembers.
    pub dedup: Dedup,
    /// When the state store is written.
    pub state_window: WindowConfig,
    /// When the event log is written.
    pub log_window: WindowConfig,
    /// When dead letters are written.
    pub dead_letter_window: WindowConfig,
    /// What a sink does after a failed write.
    pub retry: RetryConfig,
    /// How long to wait for a sink that is out; `None`: for ever.
    pub max_outage: Option<Duration>,
    /// How long a drain may take.
    pub drain_deadline: Duration,
    /// How long open work may make no progress.
    pub watchdog_limit: Duration,
    /// When unmatched events are matched again.
    pub sweep: Sweep,
    /// How long dead letters are kept; `None`: for ever.
    pub dead_letters_keep: Option<Duration>,
    /// How often committed offsets are stored.
    pub checkpoint_interval: Duration,
    /// What `run live` reads.
    pub live: LiveSource,
    /// The name of this process among those that share the work.
    pub member: String,
    /// Where state lives.
    pub state_store: StateKind,
    /// Where the event log lives.
    pub log_store: LogKind,
    /// How NATS is reached and read.
    pub nats: nats::NatsConfig,
    /// How Kafka is reached and read.
    pub kafka: kafka::KafkaConfig,
    /// Where ClickHouse is.
    pub clickhouse: clickhouse::ClickHouseConfig,
    /// The folder of the embedded store.
    pub store_dir: PathBuf,
    /// Whether that folder survives restarts of the process.
    pub dir_kept: bool,
    /// How the database is reached; of use where state lives there.
    pub postgres: PostgresConfig,
    /// Where metrics are served: see [`Plan::metrics_address`].
    pub metrics_listen: Listen,
    /// Text logs.
    pub logs: Logs,
    /// How recipients become known while a job runs.
    pub recipients: RecipientsConfig,
}

/// Where state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// In the folder of the embedded store.
    Sqlite,
    /// In a Postgres database.
    Postgres,
}

/// Where the event log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// In the folder of the embedded store.
    Parquet,
    /// In a table of ClickHouse.
    ClickHouse,
}

impl StateKind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            StateKind::Postgres => "Postgres",
            StateKind::Sqlite => "SQLite",
        }
    }
}

impl LogKind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            LogKind::Parquet => "Parquet",
            LogKind::ClickHouse => "ClickHouse",
        }
    }
}

/// Limits of what is open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightLimits {
    /// Events.
    pub events_max: NonZeroUsize,
    /// Bytes of raw deliveries.
    pub bytes_max: usize,
}

/// What memory remembers of events it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// For how long.
    pub ttl: Duration,
    /// How many keys over all workers.
    pub keys_max: NonZeroUsize,
}

/// When a sink writes what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowConfig {
    /// Most rows of one write.
    pub rows_max: NonZeroUsize,
    /// Most bytes of one write.
    pub bytes_max: usize,
    /// Longest wait of its oldest row.
    pub age_max: Duration,
    /// Write as soon as the sink is free.
    pub eager: bool,
}

/// What a sink does after a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// Failures in a row before the breaker opens.
    pub attempts_before_breaker: NonZeroUsize,
    /// Retries a second, at most.
    pub retries_per_second_max: NonZeroUsize,
    /// How long one write may take before the watchdog counts it as standing still.
    pub attempt_deadline: Duration,
}

/// When unmatched events are matched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The first pass.
    pub first: Duration,
    /// The longest wait between passes.
    pub backoff_cap: Duration,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At the usual place for live jobs, nowhere for finite ones.
    Auto,
    /// Nowhere.
    Nowhere,
    /// There.
    At(SocketAddr),
}

/// How text logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Text logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// How they look.
    pub format: LogFormat,
    /// The least level that is written.
    pub level: String,
}

impl Plan {
    /// Parses the settings; mistakes are added to `errors`.
    pub fn read(layers: &Layers, errors: &mut ConfigErrors) -> Self {
        let mut reader = SettingReader::new(layers, errors);
        let plan = sections::read(&mut reader);
        plan.check_whole(errors);
        plan.recipients.check(errors);
        plan
    }

    /// What the decoders take.
    pub fn decode_options(&self) -> decode::DecodeConfig {
        self.decode.clone()
    }

    /// Where a job serves its metrics, if anywhere.
    pub fn metrics_address(&self, finite: bool) -> Option<SocketAddr> {
        match self.metrics_listen {
            Listen::At(address) => Some(address),
            Listen::Auto if !finite => Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            Listen::Auto | Listen::Nowhere => None,
        }
    }

    /// Reports settings that are valid alone and contradict each other.
    fn check_whole(&self, errors: &mut ConfigErrors) {
        let mut expect = |holds: bool, key: &str, value: String, problem: &str, hint: &str| {
            if !holds {
                errors.push(ConfigError::about(key, value, problem, hint));
            }
        };
        expect(
            self.retry.base <= self.retry.cap,
            "retry.base",
            format!("{:?}", self.retry.base),
            "the first wait is longer than the longest",
            "raise retry.cap or lower retry.base",
        );
        expect(
            self.sweep.first <= self.sweep.backoff_cap,
            "sweep.first",
            format!("{:?}", self.sweep.first),
            "the first wait is longer than the longest",
            "raise sweep.backoff_cap or lower sweep.first",
        );
        expect(
            self.decode.body_bytes_max <= self.in_flight.bytes_max,
            "decode.body_bytes_max",
            self.decode.body_bytes_max.to_string(),
            "one body could exceed job.in_flight_bytes_max",
            "raise job.in_flight_bytes_max or lower decode.body_bytes_max",
        );
        expect(
            self.state_store != StateKind::Postgres || !self.postgres.url.is_empty(),
            "postgres.url",
            String::new(),
            "store.state is \"postgres\" and no address is given",
            "set postgres.url (HOOKFLOW_POSTGRES_URL), such as postgres://user@host:5432/database",
        );
        expect(
            self.decode.recipient_id_name != self.decode.batch_id_name,
            "decode.batch_id_name",
            self.decode.batch_id_name.clone(),
            "recipient and batch cannot share a name",
            "give decode.recipient_id_name and decode.batch_id_name two names",
        );
    }
}
