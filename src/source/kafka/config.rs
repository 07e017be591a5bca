//! What is set of the Kafka source.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::{Millis, Provider};
use crate::source::members::PartitionSet;
pub use crate::source::secret::Secret;

/// How to reach the brokers, which topics are read, and how.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// How to reach the brokers.
    pub connection: KafkaConnection,
    /// The topics, at least one.
    pub topics: Vec<Topic>,
    /// The consumer group under which progress is kept.
    pub group: String,
    /// The name of this member within the group, for static membership.
    pub member: Option<String>,
    /// The partitions that this member reads; without them the group shares them out.
    pub partitions: Option<PartitionSet>,
    /// Where reading begins where the group has committed nothing.
    pub start: StartOffset,
    /// What is done when messages were dropped before they were read.
    pub on_lost: OnLost,
    /// After so long without a heartbeat the group takes a member's partitions away.
    pub session_timeout: Duration,
    /// How long the group waits for a member that does not come back to it.
    pub poll_interval_max: Duration,
    /// How long partitions that are taken away are held for what was handed out of them.
    pub revoke_deadline: Duration,
    /// How much the driver fetches ahead.
    pub queue_bytes: usize,
    /// How `setup` makes a topic.
    pub storage: TopicConfig,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The provider of messages that name none.
    pub provider: Option<Provider>,
}

impl Topic {
    /// Reads `webhooks` or `from-ses=ses`; none if that is no name of a topic.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, provider) = match text.split_once('=') {
            Some((name, provider)) => (name.trim(), Some(provider.trim())),
            None => (text.trim(), None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = (1..=249).contains(&name.len()) && name.chars().all(plain);
        let named = provider.is_none_or(|provider| !provider.is_empty());
        (good && named && !matches!(name, "." | "..")).then(|| Self {
            name: name.to_owned(),
            provider: provider.map(Provider::new),
        })
    }
}

/// Where reading begins where the group has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// With the oldest message.
    Earliest,
    /// With what comes from now on. A partition that is added to a topic later is read from its beginning.
    Latest,
    /// With the first message of this time or later.
    Time(Millis),
}

/// What is done when messages were dropped before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// The job ends and says so.
    Stop,
    /// It is said, and reading goes on with the oldest message that there is.
    Earliest,
}

/// What `setup` gives a topic that it creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// How many partitions: no more members than that share the partition.
    pub partitions: usize,
    /// Copies of each message.
    pub replicas: usize,
    /// How long messages are kept.
    pub max_age: Duration,
}

/// How to reach the brokers.
#[derive(Clone, Debug)]
pub struct KafkaConnection {
    /// Addresses `host:port`, one or more with commas between them.
    pub brokers: Secret,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Certificates (PEM) of those who vouch for the brokers; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Who we are.
    pub login: Option<KafkaLogin>,
}

/// A user and a password.
#[derive(Clone, Debug)]
pub struct KafkaLogin {
    /// How the password is shown to the broker.
    pub mechanism: SaslMechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// As it is.
    Plain,
    /// By a proof that does not tell it, with SHA-256.
    Scram256,
    /// The same with SHA-512.
    Scram512,
}

impl SaslMechanism {
    /// Its name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::Scram256 => "SCRAM-SHA-256",
            SaslMechanism::Scram512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_written_as_documented() {
        let topic = Topic::parse(" from-ses = ses").unwrap();
        assert_eq!(topic.name, "from-ses");
        assert_eq!(topic.provider, Some(Provider::new("ses")));
        assert_eq!(Topic::parse("webhooks").unwrap().provider, None);
        for bad in ["", "a b", "..", "webhooks=", "=ses", "ä"] {
            assert_eq!(Topic::parse(bad), None, "{bad}");
        }
    }
}
