//! The section `[nats]`: how JetStream is reached and read.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{SettingReader as Reader, parse_count};
use crate::source::nats::assign::Partitions;
use crate::source::nats::settings::{Acknowledge, Connection, Login, Secret, Settings, Storage};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// What the server's request for messages may ask for at once.
const BATCH_MAX: usize = 10_000;

/// Reads the section. `in_flight` is how many events the job may hold open: no lane may hold fewer unacknowledged.
pub(super) fn read(reader: &mut Reader<'_>, in_flight: usize) -> Settings {
    Settings {
        connection: read_connection(reader),
        stream: read_name(reader, "nats.stream"),
        subject: read_subject(reader),
        consumer: read_name(reader, "nats.consumer"),
        partitions: read_lanes(reader),
        acknowledge: reader.choice(
            "nats.acknowledge",
            Acknowledge::UpTo,
            &[("each", Acknowledge::Each), ("up-to", Acknowledge::UpTo)],
        ),
        ack_wait: reader.duration("nats.ack_wait", SECOND, 3_600 * SECOND),
        ack_pending_max: in_flight.saturating_add(BATCH_MAX),
        batch_messages: read_batch(reader),
        batch_bytes: reader.bytes("nats.batch_bytes_max"),
        stall_limit: reader.duration("nats.stall_limit", SECOND, 3_600 * SECOND),
        storage: Storage {
            max_age: reader.duration("nats.max_age", SECOND, 3_650 * DAY),
            replicas: read_replicas(reader),
            duplicate_window: reader.duration("nats.duplicate_window", SECOND, DAY),
        },
    }
}

fn read_connection(reader: &mut Reader<'_>) -> Connection {
    let file = |text: Option<String>| text.map(PathBuf::from);
    let (certificate, key) = (
        file(reader.optional_text("nats.tls_certificate_file")),
        file(reader.optional_text("nats.tls_key_file")),
    );
    if certificate.is_some() != key.is_some() {
        reader.complain_of(
            "nats.tls_certificate_file",
            "a certificate and its key go together",
            "set nats.tls_certificate_file and nats.tls_key_file, or neither",
        );
    }
    Connection {
        servers: Secret::new(reader.text("nats.url")),
        login: read_login(reader),
        tls_required: reader.switch("nats.tls"),
        ca_file: file(reader.optional_text("nats.tls_ca_file")),
        certificate: certificate.zip(key),
    }
}

/// The first that is set of credentials file, nkey, token, user.
fn read_login(reader: &mut Reader<'_>) -> Login {
    let mut text = |key: &str| reader.optional_text(&format!("nats.{key}"));
    let (credentials, nkey, token) = (
        text("credentials_file"),
        text("nkey_seed_file"),
        text("token"),
    );
    let (user, password) = (text("user"), text("password"));
    match (credentials, nkey, token, user) {
        (Some(file), ..) => Login::Credentials(file.into()),
        (_, Some(file), ..) => Login::Nkey(file.into()),
        (_, _, Some(token), _) => Login::Token(Secret::new(token)),
        (.., Some(user)) => Login::Password(user, Secret::new(password.unwrap_or_default())),
        _ => Login::None,
    }
}

fn read_lanes(reader: &mut Reader<'_>) -> Partitions {
    let hint = "\"all\", lanes such as \"0-15\" or \"3,5,7-9\" (there are 0 to 31), member 1 of 4 as \"1/4\", or \"whole\" for one member alone";
    reader.value("nats.lanes", hint, Partitions::all(), Partitions::parse)
}

fn read_name(reader: &mut Reader<'_>, path: &str) -> String {
    let hint = "letters, digits, - and _, such as \"hookflow\"";
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    reader.value(path, hint, String::new(), |text| {
        (!text.is_empty() && text.len() <= 64 && text.chars().all(plain)).then(|| text.to_owned())
    })
}

fn read_subject(reader: &mut Reader<'_>) -> String {
    let hint = "one or more words with dots between them, such as \"webhooks\"";
    let token = |token: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !token.is_empty() && token.chars().all(plain)
    };
    reader.value("nats.subject", hint, String::new(), |text| {
        text.split('.').all(token).then(|| text.to_owned())
    })
}

fn read_batch(reader: &mut Reader<'_>) -> usize {
    let hint = "a whole number from 1 to 10,000, such as 1000";
    reader.value("nats.batch_messages_max", hint, 1_000, |text| {
        parse_count(text)
            .map(std::num::NonZeroUsize::get)
            .filter(|n| *n <= BATCH_MAX)
    })
}

fn read_replicas(reader: &mut Reader<'_>) -> usize {
    let hint = "1, 2, 3, 4 or 5";
    reader.value("nats.replicas", hint, 1, |text| {
        text.parse().ok().filter(|n| (1..=5).contains(n))
    })
}
