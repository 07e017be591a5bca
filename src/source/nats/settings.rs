//! What is set of the NATS source.

use std::path::PathBuf;
use std::time::Duration;

use super::assign::Partitions;
pub use crate::source::secret::Secret;

/// How to reach the servers, which stream is read, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to reach the servers.
    pub connection: Connection,
    /// The stream's name.
    pub stream: String,
    /// What people publish to: `<subject>.<provider>.<user>`. One or more tokens.
    pub subject: String,
    /// The consumers are called `<consumer>-<partition>`.
    pub consumer: String,
    /// The partitions that this member reads.
    pub partitions: Partitions,
    /// How messages are acknowledged.
    pub acknowledge: Acknowledge,
    /// How long the server waits for an acknowledgement before it delivers a message again.
    pub ack_wait: Duration,
    /// How many messages of one partition may be delivered and not acknowledged: no less than the job may hold open.
    pub ack_pending_max: usize,
    /// Most messages that one request asks for.
    pub batch_messages: usize,
    /// Most bytes that one request asks for.
    pub batch_bytes: usize,
    /// How long a partition in which messages wait may stay silent before it is asked for them in another way.
    pub stall_limit: Duration,
    /// How `setup` makes the stream.
    pub storage: Storage,
}

impl Settings {
    /// The name of a partition's consumer.
    pub fn consumer_of(&self, partition: u32) -> String {
        format!("{}-{partition}", self.consumer)
    }

    /// How many tokens of a stored subject stand before the provider: those of the prefix, and the partition.
    pub fn tokens_before_provider(&self) -> usize {
        self.subject.split('.').count() + 1
    }
}

/// How messages are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Each by itself.
    Each,
    /// All of a partition up to one message. Only where a partition has one reader.
    UpTo,
}

/// What `setup` gives a stream that it creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// How long messages are kept.
    pub max_age: Duration,
    /// Copies of each message in a cluster, 1 to 5.
    pub replicas: usize,
    /// How long the server knows a `Nats-Msg-Id` again.
    pub duplicate_window: Duration,
}

/// How to reach the servers.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Addresses, `nats://` or `tls://`, one or more with commas between them.
    pub servers: Secret,
    /// Who we are.
    pub login: Login,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
    /// Certificates (PEM) of those who vouch for the server; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Who we are to the server.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Whoever the address names, or nobody.
    #[default]
    None,
    /// A user and a password.
    Password(String, Secret),
    /// A token.
    Token(Secret),
    /// A file that holds the seed of an nkey.
    Nkey(PathBuf),
    /// A file of credentials (a JWT and a seed).
    Credentials(PathBuf),
}
