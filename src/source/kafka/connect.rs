//! A client of Kafka, and why there is none.
//!
//! What another attempt cannot mend (a wrong password, a certificate that is not trusted, a topic that does not exist) is a
//! matter of configuration and ends the program; everything else is waited out. Texts name no address and no secret.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::config::{KafkaConfig, KafkaConnection, SaslMechanism};
use super::consumer::{Consumer, KafkaContext, TopicPartition, list, offsets};
use crate::event::Millis;
use crate::source::connect_error::ConnectError;

/// How long one question to the brokers may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often the driver reports its statistics.
const STATISTICS: Duration = Duration::from_secs(1);

/// The configuration of every client.
pub fn client(connection: &KafkaConnection) -> Result<ClientConfig, ConnectError> {
    built_for(connection, WITH_TLS)?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", connection.brokers.reveal())
        .set("client.id", "hookflow")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "60000")
        // Its texts are not written anywhere, for they name addresses; this is the level at which it tells of hang-ups.
        .set_log_level(RDKafkaLogLevel::Info);
    secure(&mut config, connection);
    Ok(config)
}

fn secure(config: &mut ClientConfig, connection: &KafkaConnection) {
    let protocol = match (connection.tls, &connection.login) {
        (false, None) => "plaintext",
        (true, None) => "ssl",
        (false, Some(_)) => "sasl_plaintext",
        (true, Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(login) = &connection.login {
        config
            .set("sasl.mechanisms", login.mechanism.name())
            .set("sasl.username", &login.user)
            .set("sasl.password", login.password.reveal());
    }
    if !connection.tls {
        return;
    }
    let path = |path: &Path| path.display().to_string();
    // The OpenSSL that is built in does not know where this system keeps its certificates.
    let authority = connection.ca_file.as_deref().map(path);
    config.set("ssl.ca.location", authority.as_deref().unwrap_or("probe"));
    if let Some((certificate, key)) = &connection.certificate {
        config
            .set("ssl.certificate.location", path(certificate))
            .set("ssl.key.location", path(key));
    }
}

/// Whether TLS and SCRAM are part of this program.
const WITH_TLS: bool = cfg!(feature = "kafka-tls");

/// What was left out of a program that is built with or without TLS.
fn built_for(connection: &KafkaConnection, with_tls: bool) -> Result<(), ConnectError> {
    let scram = connection
        .login
        .as_ref()
        .filter(|login| login.mechanism != SaslMechanism::Plain);
    let what = match (connection.tls, scram) {
        _ if with_tls => return Ok(()),
        (true, _) => "TLS (kafka.tls)",
        (false, Some(login)) => login.mechanism.name(),
        (false, None) => return Ok(()),
    };
    Err(ConnectError::Permanent(format!(
        "this hookflow was built without {what} for Kafka: build it with `cargo build --release --features kafka-tls`"
    )))
}

/// A consumer that has not connected yet. It commits nothing by itself, and begins nowhere by itself.
pub fn consumer(config: &KafkaConfig) -> Result<Consumer, ConnectError> {
    create(&consumer_config(config)?)
}

/// The same, for partitions that are read to their end; it says when it is there.
pub fn replay_consumer(config: &KafkaConfig) -> Result<Consumer, ConnectError> {
    let mut driver = consumer_config(config)?;
    create(driver.set("enable.partition.eof", "true"))
}

fn create(config: &ClientConfig) -> Result<Consumer, ConnectError> {
    let made = config.create_with_context(KafkaContext::default());
    made.map_err(|error| not_made(&error))
}

fn consumer_config(config: &KafkaConfig) -> Result<ClientConfig, ConnectError> {
    let mut driver = client(&config.connection)?;
    let millis = |time: Duration| time.as_millis().to_string();
    let heartbeat = (config.session_timeout / 10).min(Duration::from_secs(3));
    driver
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(config.session_timeout))
        .set("heartbeat.interval.ms", millis(heartbeat))
        .set("max.poll.interval.ms", millis(config.poll_interval_max))
        // A fetch that finds the queue full is tried again after this, not after a second.
        .set("fetch.queue.backoff.ms", "5")
        .set(
            "queued.max.messages.kbytes",
            (config.queue_bytes / 1024).max(1).to_string(),
        )
        .set("statistics.interval.ms", millis(STATISTICS));
    if let (Some(member), None) = (&config.member, &config.partitions) {
        driver.set("group.instance.id", member);
    }
    Ok(driver)
}

/// What the driver says of settings that it does not take; its text names the setting, and a path at most.
pub fn not_made(error: &KafkaError) -> ConnectError {
    match error {
        KafkaError::ClientConfig(_, _, setting, _) => ConnectError::Permanent(format!(
            "the Kafka client refuses what is set under [kafka] for {setting}"
        )),
        _ => ConnectError::Permanent(
            "no Kafka client can be made of what is set under [kafka]: see kafka.brokers, and whether the files of \
             certificates can be read (kafka.tls_ca_file, kafka.tls_certificate_file, kafka.tls_key_file)"
                .into(),
        ),
    }
}

/// The partitions of every topic that is read.
pub fn partitions(
    consumer: &Consumer,
    config: &KafkaConfig,
) -> Result<Vec<TopicPartition>, ConnectError> {
    let mut all = Vec::new();
    for topic in &config.topics {
        let found = of_topic(consumer, &topic.name)?;
        let highest = config.partitions.as_ref().and_then(|set| set.highest());
        if highest.is_some_and(|highest| highest as usize >= found) {
            return Err(ConnectError::Permanent(format!(
                "kafka.partitions names a partition that the topic {} does not have: it has {found}",
                topic.name
            )));
        }
        let number = i32::try_from(found).unwrap_or(i32::MAX);
        all.extend((0..number).map(|number| TopicPartition {
            topic: topic.name.clone(),
            number,
        }));
    }
    Ok(all)
}

/// How many partitions a topic has; none if there is no such topic.
pub fn find(consumer: &Consumer, name: &str) -> Result<Option<usize>, ConnectError> {
    let metadata = consumer
        .fetch_metadata(Some(name), PATIENCE)
        .map_err(|error| why(consumer, &error))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    let error = topic.and_then(|topic| topic.error()).map(Code::from);
    match (topic, error) {
        (Some(topic), None) if !topic.partitions().is_empty() => Ok(Some(topic.partitions().len())),
        (_, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Ok(None),
        (_, Some(error)) => Err(meaning(error)),
        (_, None) => Err(ConnectError::Transient(format!(
            "Kafka does not know the topic {name} yet"
        ))),
    }
}

/// How many partitions a topic has that must be there.
pub fn of_topic(consumer: &Consumer, name: &str) -> Result<usize, ConnectError> {
    find(consumer, name)?.ok_or_else(|| {
        ConnectError::Permanent(format!(
            "there is no topic {name}: create it with `hookflow setup`, or set kafka.topics"
        ))
    })
}

/// The offset of the oldest message of a partition, and of the next one.
pub fn watermarks(
    consumer: &Consumer,
    partition: &TopicPartition,
) -> Result<(u64, u64), ConnectError> {
    let (low, high) = consumer
        .fetch_watermarks(&partition.topic, partition.number, PATIENCE)
        .map_err(|error| why(consumer, &error))?;
    Ok((low.try_into().unwrap_or(0), high.try_into().unwrap_or(0)))
}

/// The first offset of each partition of that time or later, where there is one.
pub fn offsets_at(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    time: Millis,
) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
    let time = u64::try_from(time.0).unwrap_or(0);
    let asked = list(partitions.iter().map(|one| (one, Some(time))));
    offsets_of(consumer, consumer.offsets_for_times(asked, PATIENCE))
}

/// The offsets of a list that was answered; an error of any partition is one of all.
pub fn offsets_of(
    consumer: &Consumer,
    answered: Result<TopicPartitionList, KafkaError>,
) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
    let answered = answered.map_err(|error| why(consumer, &error))?;
    for element in answered.elements() {
        element.error().map_err(|error| why(consumer, &error))?;
    }
    Ok(offsets(&answered))
}

/// What an error means. What the client reported meanwhile says more than the error itself, which is often only that time
/// was up.
pub fn why(consumer: &Consumer, error: &KafkaError) -> ConnectError {
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until {
        drop(consumer.poll(Duration::from_millis(20)));
        let errors = consumer.context().errors();
        let mut meant = errors.into_iter().map(meaning);
        if let Some(refused) = meant.find(|error| matches!(error, ConnectError::Permanent(_))) {
            return refused;
        }
    }
    match meaning(error.rdkafka_error_code().unwrap_or(Code::Unknown)) {
        ConnectError::Transient(_) if consumer.context().has_hung_up() => {
            ConnectError::Transient(HUNG_UP.into())
        }
        meant => meant,
    }
}

/// What is said of a broker that hangs up on us.
pub const HUNG_UP: &str = "Kafka cannot be reached: a broker hangs up. It may be starting; if that lasts, it wants TLS (kafka.tls) or \
                           a login (kafka.user), or offers no TLS";

/// What an error of the driver means. The one place that decides it.
pub fn meaning(code: Code) -> ConnectError {
    let refused = |text: &str| ConnectError::Permanent(text.to_owned());
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::IllegalSASLState => refused(
            "Kafka refuses the user or password: see kafka.user, kafka.password (HOOKFLOW_KAFKA_PASSWORD) and kafka.mechanism",
        ),
        Code::UnsupportedSASLMechanism => {
            refused("Kafka does not offer this way to log in: see kafka.mechanism")
        }
        Code::SSL => refused(
            "no TLS connection to Kafka can be made: the broker offers no TLS, its certificate is not trusted, or it wants one \
             of ours (kafka.tls, kafka.tls_ca_file, kafka.tls_certificate_file)",
        ),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => refused(
            "Kafka does not allow it: the user needs Read and Describe on the topics of kafka.topics and Read on kafka.group \
             (and Create for `hookflow setup`, Write for `hookflow publish`)",
        ),
        Code::InvalidSessionTimeout => refused(
            "Kafka refuses kafka.session_timeout: the brokers allow it from group.min.session.timeout.ms (6s) to \
             group.max.session.timeout.ms (30m)",
        ),
        Code::InconsistentGroupProtocol => refused(
            "the group is in use by consumers that share partitions in another way than cooperative-sticky: set kafka.group to \
             a name of its own",
        ),
        Code::FencedInstanceId => refused(
            "another process has the same name in the group: give each its own source.member",
        ),
        code => ConnectError::Transient(format!(
            "Kafka cannot be reached, or is not ready ({code:?})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kafka::config::{KafkaLogin, Secret};

    fn connection() -> KafkaConnection {
        KafkaConnection {
            brokers: Secret::new("127.0.0.1:1".into()),
            tls: false,
            ca_file: None,
            certificate: None,
            login: None,
        }
    }

    fn login(mechanism: SaslMechanism) -> Option<KafkaLogin> {
        Some(KafkaLogin {
            mechanism,
            user: "me".into(),
            password: Secret::new("hunter2".into()),
        })
    }

    #[test]
    fn what_was_not_built_in_is_refused_with_what_to_do() {
        let plain = KafkaConnection {
            login: login(SaslMechanism::Plain),
            ..connection()
        };
        assert!(client(&plain).is_ok());
        assert!(built_for(&plain, false).is_ok());
        let tls = KafkaConnection {
            tls: true,
            ..connection()
        };
        let scram = KafkaConnection {
            login: login(SaslMechanism::Scram256),
            ..connection()
        };
        for wanted in [tls, scram] {
            assert!(built_for(&wanted, true).is_ok());
            let refused = built_for(&wanted, false).unwrap_err().to_string();
            assert!(refused.contains("--features kafka-tls"), "{refused}");
            assert_eq!(client(&wanted).is_ok(), WITH_TLS);
        }
    }
}
