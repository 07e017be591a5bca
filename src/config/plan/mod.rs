//! The plan: the settings, understood and checked. What the rest of the program sees.
//!
//! Contract: units are in the types, every queue, window, retry and wait has its limit here, and a `Plan` that exists
//! is one that can run.

mod sections;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::complaint::{Complaint, Complaints};
use super::layers::Layers;
use super::read::Reader;
use super::recipients::Recipients;
use crate::decode;
use crate::event::User;
use crate::log::clickhouse;
use crate::source::{kafka, nats};
use crate::state::postgres;

/// Everything that steers a job.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Worker threads of the dataflow.
    pub workers: NonZeroUsize,
    /// How coarse progress is.
    pub tick: Duration,
    /// Where the source stops reading.
    pub in_flight: InFlight,
    /// Records that wait before each worker.
    pub channel_depth: NonZeroUsize,
    /// The tenant of deliveries that name none.
    pub default_user: User,
    /// How bodies are read: see [`Plan::decode_options`].
    decode: decode::Options,
    /// What memory remembers.
    pub dedup: Dedup,
    /// When the state store is written.
    pub state_window: Window,
    /// When the event log is written.
    pub log_window: Window,
    /// When dead letters are written.
    pub reject_window: Window,
    /// What a sink does after a failed write.
    pub retry: Retry,
    /// How long an outage is waited for; none is for ever.
    pub max_outage: Option<Duration>,
    /// How long a drain may take.
    pub drain_deadline: Duration,
    /// How long nothing may move while work is open.
    pub watchdog_limit: Duration,
    /// When unmatched events are looked at again.
    pub sweep: Sweep,
    /// How long dead letters are kept; none is for ever.
    pub dead_letters_keep: Option<Duration>,
    /// How often settled positions are stored.
    pub checkpoint_interval: Duration,
    /// What `run live` reads.
    pub live: Live,
    /// The name of this process among those that share the work.
    pub member: String,
    /// Where state lives.
    pub state_store: StateKind,
    /// Where the event log lives.
    pub log_store: LogKind,
    /// How NATS is reached and read.
    pub nats: nats::Settings,
    /// How Kafka is reached and read.
    pub kafka: kafka::Settings,
    /// Where ClickHouse is.
    pub clickhouse: clickhouse::ClickHouseConfig,
    /// The folder of the embedded store.
    pub store_dir: PathBuf,
    /// How the database is reached; of use where state lives there.
    pub postgres: postgres::Settings,
    /// Where metrics are served: see [`Plan::metrics_address`].
    pub metrics_listen: Listen,
    /// Text logs.
    pub logs: Logs,
    /// How recipients become known while a job runs.
    pub recipients: Recipients,
}

/// What `run live` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// Lines of deliveries from standard input.
    StandardInput,
    /// A stream of NATS JetStream.
    Nats,
    /// Topics of Kafka.
    Kafka,
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
pub struct InFlight {
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
pub struct Window {
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
pub struct Retry {
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

/// When unmatched events are looked at again.
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
pub enum Format {
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
    pub format: Format,
    /// The least level that is written.
    pub level: String,
}

impl Plan {
    /// Understands the settings; every mistake becomes a complaint.
    pub fn read(layers: &Layers, complaints: &mut Complaints) -> Self {
        let mut reader = Reader::new(layers, complaints);
        let plan = sections::read(&mut reader);
        plan.check_whole(complaints);
        plan.recipients.check(complaints);
        plan
    }

    /// What the decoders take.
    pub fn decode_options(&self) -> decode::Options {
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

    /// What is right in each setting and wrong in their sum.
    fn check_whole(&self, complaints: &mut Complaints) {
        let mut expect = |holds: bool, key: &str, value: String, problem: &str, hint: &str| {
            if !holds {
                complaints.push(Complaint::about(key, value, problem, hint));
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
