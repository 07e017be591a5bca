//! The section `[kafka]`.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{SettingReader, parse_count};
use crate::event::Millis;
use crate::source::kafka::config::{
    KafkaConfig, KafkaConnection, KafkaLogin, OnLost, SaslMechanism, Secret, StartOffset, Topic,
    TopicConfig,
};
use crate::source::members::PartitionSet;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads the section, and the member's name.
pub(super) fn read(reader: &mut SettingReader<'_>) -> KafkaConfig {
    let settings = KafkaConfig {
        connection: read_connection(reader),
        topics: read_topics(reader),
        group: read_group(reader),
        member: read_member(reader),
        partitions: read_partitions(reader),
        start: read_start(reader),
        on_lost: reader.choice(
            "kafka.on_lost",
            OnLost::Stop,
            &[("stop", OnLost::Stop), ("earliest", OnLost::Earliest)],
        ),
        session_timeout: reader.duration("kafka.session_timeout", SECOND, HOUR),
        poll_interval_max: reader.duration("kafka.poll_interval_max", SECOND, DAY),
        revoke_deadline: reader.duration("kafka.revoke_deadline", SECOND, HOUR),
        queue_bytes: reader.bytes("kafka.queue_bytes_max"),
        storage: TopicConfig {
            partitions: read_number(reader, "kafka.topic_partitions", 10_000),
            replicas: read_number(reader, "kafka.replicas", 100),
            max_age: reader.duration("kafka.max_age", SECOND, 3_650 * DAY),
        },
    };
    check(reader, &settings);
    settings
}

/// What is right in each setting and wrong in their sum.
fn check(reader: &mut SettingReader<'_>, settings: &KafkaConfig) {
    if settings.session_timeout > settings.poll_interval_max {
        reader.complain_of(
            "kafka.session_timeout",
            "it is longer than kafka.poll_interval_max",
            "lower it, or raise kafka.poll_interval_max",
        );
    }
    if settings.revoke_deadline >= settings.poll_interval_max {
        reader.complain_of(
            "kafka.revoke_deadline",
            "the group gives a member up after kafka.poll_interval_max, which is no longer than that",
            "lower it, or raise kafka.poll_interval_max",
        );
    }
}

fn read_connection(reader: &mut SettingReader<'_>) -> KafkaConnection {
    let file = |text: Option<String>| text.map(PathBuf::from);
    let (certificate, key) = (
        file(reader.optional_text("kafka.tls_certificate_file")),
        file(reader.optional_text("kafka.tls_key_file")),
    );
    if certificate.is_some() != key.is_some() {
        reader.complain_of(
            "kafka.tls_certificate_file",
            "a certificate and its key go together",
            "set kafka.tls_certificate_file and kafka.tls_key_file, or neither",
        );
    }
    KafkaConnection {
        brokers: read_brokers(reader),
        tls: reader.switch("kafka.tls"),
        ca_file: file(reader.optional_text("kafka.tls_ca_file")),
        certificate: certificate.zip(key),
        login: read_login(reader),
    }
}

fn read_brokers(reader: &mut SettingReader<'_>) -> Secret {
    let hint = "one or more addresses such as \"kafka-1:9092\", with commas between them";
    let address = |text: &str| {
        let port = text.trim().rsplit_once(':');
        port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    reader.value("kafka.brokers", hint, Secret::new(String::new()), |text| {
        let good = text.split(',').all(address);
        good.then(|| Secret::new(text.to_owned()))
    })
}

fn read_login(reader: &mut SettingReader<'_>) -> Option<KafkaLogin> {
    let mechanism = reader.choice(
        "kafka.mechanism",
        SaslMechanism::Plain,
        &[
            ("plain", SaslMechanism::Plain),
            ("scram-sha-256", SaslMechanism::Scram256),
            ("scram-sha-512", SaslMechanism::Scram512),
        ],
    );
    let user = reader.optional_text("kafka.user");
    let password = reader.optional_text("kafka.password");
    user.map(|user| KafkaLogin {
        mechanism,
        user,
        password: Secret::new(password.unwrap_or_default()),
    })
}

fn read_topics(reader: &mut SettingReader<'_>) -> Vec<Topic> {
    let hint = "names of topics with commas between them, such as \"webhooks\" or \"webhooks,from-ses=ses\"";
    reader.value("kafka.topics", hint, Vec::new(), |text| {
        let topics: Option<Vec<Topic>> = text.split(',').map(Topic::parse).collect();
        let topics = topics?;
        let mut names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        (names.len() == topics.len()).then_some(topics)
    })
}

fn read_group(reader: &mut SettingReader<'_>) -> String {
    let hint = "letters, digits, -, _ and ., such as \"hookflow\"";
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    reader.value("kafka.group", hint, String::new(), |text| {
        (!text.is_empty() && text.len() <= 200 && text.chars().all(plain)).then(|| text.to_owned())
    })
}

/// Only a configured name is unique in the fleet.
fn read_member(reader: &mut SettingReader<'_>) -> Option<String> {
    let name = reader.optional_text("source.member");
    name.filter(|name| name != "auto")
}

fn read_partitions(reader: &mut SettingReader<'_>) -> Option<PartitionSet> {
    let hint = "\"group\", \"all\", partitions such as \"0-3\" or \"0,2,4-7\", or member 1 of 4 as \"1/4\"";
    reader.value("kafka.partitions", hint, None, |text| match text {
        "group" => Some(None),
        text => PartitionSet::parse(text).map(Some),
    })
}

fn read_start(reader: &mut SettingReader<'_>) -> StartOffset {
    let hint = "\"earliest\", \"latest\", or a time such as \"2026-03-01T00:00:00Z\"";
    reader.value(
        "kafka.start",
        hint,
        StartOffset::Earliest,
        |text| match text {
            "earliest" => Some(StartOffset::Earliest),
            "latest" => Some(StartOffset::Latest),
            time => Millis::parse_rfc3339(time).map(StartOffset::Time),
        },
    )
}

fn read_number(reader: &mut SettingReader<'_>, path: &str, most: usize) -> usize {
    let hint = format!("a whole number from 1 to {most}");
    reader.value(path, &hint, 1, |text| {
        let number = parse_count(text)?.get();
        (number <= most).then_some(number)
    })
}
