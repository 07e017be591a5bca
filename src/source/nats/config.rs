//! The configuration of the NATS source.

use std::path::PathBuf;
use std::time::Duration;

use super::partitions::Partitions;
pub use crate::source::secret::Secret;

/// How the servers are reached, which stream is read, and how.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// How to reach the servers.
    pub connection: ConnectionConfig,
    /// The stream's name.
    pub stream: String,
    /// People publish to `<subject>.<provider>.<user>`. One or more tokens.
    pub subject: String,
    /// The durable consumer, shared by all members; with partitions `<consumer>-<partition>`.
    pub consumer: String,
    /// The partitions of the stream, and which of them this member reads; none for a stream without.
    pub partitions: Option<Partitions>,
    /// How many messages a consumer may have delivered and not acknowledged (`max_ack_pending`), of all members together.
    pub open_max: usize,
    /// How many events this member's job may hold in flight. The consumer's limit is at least twice as high.
    pub in_flight_events_max: usize,
    /// After this time without acknowledgement the server delivers a message again.
    pub ack_wait: Duration,
    /// A message that is held longer than this after its delivery is left to the server's redelivery.
    pub lease_max: Duration,
    /// Most messages that one request asks for.
    pub batch_messages: usize,
    /// Most bytes that one request asks for.
    pub batch_bytes: usize,
    /// How long messages may wait at the server, and none arrive, before the connection is made anew.
    pub stall_limit: Duration,
    /// How `setup` makes the stream.
    pub storage: StreamStorage,
}

/// One durable consumer of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerName {
    /// Its durable name.
    pub name: String,
    /// The subjects that it reads; empty for the whole stream.
    pub filter: String,
}

impl NatsConfig {
    /// The consumers that this member reads.
    pub fn consumers(&self) -> Vec<ConsumerName> {
        self.consumers_of(self.partitions.as_ref())
    }

    /// The consumers that all members together read.
    pub fn all_consumers(&self) -> Vec<ConsumerName> {
        let all = self.partitions.as_ref();
        self.consumers_of(all.map(|some| Partitions::all(some.count)).as_ref())
    }

    fn consumers_of(&self, partitions: Option<&Partitions>) -> Vec<ConsumerName> {
        let Some(partitions) = partitions else {
            // Without a filter the server does not match the subject of each message.
            return vec![ConsumerName {
                name: self.consumer.clone(),
                filter: String::new(),
            }];
        };
        let consumer = |partition| ConsumerName {
            name: format!("{}-{partition}", self.consumer),
            filter: format!("{}.{partition}.*.*", self.subject),
        };
        partitions.iter().map(consumer).collect()
    }

    /// How many tokens of a stored subject stand before the provider: those of the prefix, and the partition if there is one.
    pub fn tokens_before_provider(&self) -> usize {
        self.subject.split('.').count() + usize::from(self.partitions.is_some())
    }
}

/// The options of a stream that `setup` creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStorage {
    /// How long messages are kept.
    pub max_age: Duration,
    /// Copies of each message in a cluster, 1 to 5.
    pub replicas: usize,
    /// How long the server recognises a repeated `Nats-Msg-Id`.
    pub duplicate_window: Duration,
}

/// How to reach the servers.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Addresses, `nats://` or `tls://`, one or more with commas between them.
    pub servers: Secret,
    /// The login.
    pub login: Login,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
    /// Certificates (PEM) of the authorities that are trusted; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client certificate and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// How this process logs in.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// As the address says, or without a login.
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
