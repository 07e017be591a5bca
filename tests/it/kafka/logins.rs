//! Logins and TLS: each right and wrong, against listeners that ask for them (`STACK_TLS=1 scripts/stack`).

use std::fmt::Debug;
use std::process::Command;

use hookflow::error::{Exit, Fatal};
use hookflow::source::kafka::config::{
    KafkaConfig, KafkaConnection, KafkaLogin, SaslMechanism, Secret,
};
use hookflow::source::kafka::{check, setup};

use super::job::Job;
use super::wait::until;
use super::world::{brokers, in_time, plain, settings};
use crate::skip::skipped_server;

const PASSWORD: &str = "correct-horse";
const WRONG: &str = "battery-staple";

/// A listener that only `STACK_TLS=1` starts.
fn listener(test: &str, variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        skipped_server(&format!(
            "kafka {test}: {variable} is not set (start the broker with STACK_TLS=1 scripts/stack)"
        ));
    }
    found
}

fn login(user: &str, password: &str, mechanism: SaslMechanism) -> Option<KafkaLogin> {
    Some(KafkaLogin {
        mechanism,
        user: user.into(),
        password: Secret::new(password.into()),
    })
}

fn as_user(brokers: &str, login: Option<KafkaLogin>) -> KafkaConfig {
    settings(KafkaConnection {
        login,
        ..plain(brokers)
    })
}

/// What a broker that answers in time says; one that has just started may not.
fn refusal<T: Debug>(settings: &KafkaConfig, asked: fn(&KafkaConfig) -> Result<T, Fatal>) -> Fatal {
    let mut failure = asked(settings).unwrap_err();
    until("the broker answers in time", || {
        if failure.exit == Exit::Unfinished {
            failure = asked(settings).unwrap_err();
        }
        failure.exit != Exit::Unfinished
    });
    failure
}

/// Refused with the code for configuration and a sentence with these words, and without any secret.
fn is_refused(settings: &KafkaConfig, words: &str) {
    let live = Job::start(settings).fails_in_time();
    for failure in [refusal(settings, setup), refusal(settings, check), live] {
        is_refusal(&failure, settings, words);
    }
}

fn is_refusal(failure: &Fatal, settings: &KafkaConfig, words: &str) {
    assert_eq!(failure.exit, Exit::Config, "{failure}");
    assert!(failure.message.contains(words), "{failure}");
    let said = format!("{failure} {failure:?} {settings:?}");
    for secret in [PASSWORD, WRONG] {
        assert!(!said.contains(secret), "{secret} is told: {said}");
    }
}

const WRONG_LOGIN: &str = "Kafka refuses the user or password";

#[test]
#[ignore = "needs Kafka with TLS"]
fn a_user_with_a_password() {
    let Some(brokers) = listener("password", "HOOKFLOW_KAFKA_SASL_BROKERS") else {
        return;
    };
    let plainly = |user: &str, password: &str| login(user, password, SaslMechanism::Plain);
    let good = as_user(&brokers, plainly("app", PASSWORD));
    until("it is set up", || in_time(setup(&good)));
    check(&good).unwrap();
    assert!(Job::start(&good).end().is_none());
    is_refused(&as_user(&brokers, plainly("app", WRONG)), WRONG_LOGIN);
    is_refused(&as_user(&brokers, plainly("nobody", PASSWORD)), WRONG_LOGIN);
}

#[test]
#[ignore = "needs Kafka with TLS"]
fn no_user_where_one_is_asked_for_is_said() {
    let Some(brokers) = listener("no login", "HOOKFLOW_KAFKA_SASL_BROKERS") else {
        return;
    };
    is_not_let_in(&as_user(&brokers, None));
}

#[test]
#[ignore = "needs Kafka with TLS"]
fn plaintext_where_the_broker_wants_tls_is_said() {
    for variable in [
        "HOOKFLOW_KAFKA_TLS_BROKERS",
        "HOOKFLOW_KAFKA_SASL_TLS_BROKERS",
    ] {
        let Some(brokers) = listener("plaintext", variable) else {
            return;
        };
        is_not_let_in(&as_user(&brokers, None));
    }
}

/// The broker hangs up without a word, as one that starts does: it is waited for, and said what may be wrong.
fn is_not_let_in(settings: &KafkaConfig) {
    for failure in [setup(settings).unwrap_err(), check(settings).unwrap_err()] {
        assert_eq!(failure.exit, Exit::Unfinished, "{failure}");
        for words in ["kafka.tls", "kafka.user"] {
            assert!(failure.message.contains(words), "{failure}");
        }
    }
    let job = Job::start(settings);
    job.says_in_time("kafka.tls");
    assert!(job.end().is_none());
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn what_was_not_built_in_is_refused_with_what_to_do() {
    let words = "cargo build --release --features kafka-tls";
    let tls = KafkaConnection {
        tls: true,
        ..plain("127.0.0.1:1")
    };
    is_refused(&settings(tls), words);
    for mechanism in [SaslMechanism::Scram256, SaslMechanism::Scram512] {
        let scram = as_user("127.0.0.1:1", login("app", PASSWORD, mechanism));
        is_refused(&scram, words);
    }
}

#[cfg(feature = "kafka-tls")]
mod with_tls {
    use super::*;

    const NO_TLS: &str = "no TLS connection to Kafka can be made";

    fn file(variable: &str) -> std::path::PathBuf {
        std::env::var_os(variable).unwrap().into()
    }

    fn over_tls(brokers: &str, ca: &str, login: Option<KafkaLogin>) -> KafkaConnection {
        KafkaConnection {
            tls: true,
            ca_file: Some(file(ca)),
            login,
            ..plain(brokers)
        }
    }

    const OURS: &str = "HOOKFLOW_TEST_CA_FILE";
    const OTHER: &str = "HOOKFLOW_TEST_OTHER_CA_FILE";

    #[test]
    #[ignore = "needs Kafka with TLS"]
    fn a_certificate_of_ours() {
        let Some(brokers) = listener("client certificate", "HOOKFLOW_KAFKA_TLS_BROKERS") else {
            return;
        };
        let certificate = Some((
            file("HOOKFLOW_TEST_CLIENT_CERTIFICATE_FILE"),
            file("HOOKFLOW_TEST_CLIENT_KEY_FILE"),
        ));
        let with = |brokers: &str, ca| {
            settings(KafkaConnection {
                certificate: certificate.clone(),
                ..over_tls(brokers, ca, None)
            })
        };
        until("it is set up", || in_time(setup(&with(&brokers, OURS))));
        is_refused(&with(&brokers, OTHER), NO_TLS);
        is_refused(&settings(over_tls(&brokers, OURS, None)), NO_TLS);
        // The certificate names localhost and nothing else.
        let by_number = brokers.replace("localhost", "127.0.0.1");
        is_refused(&with(&by_number, OURS), NO_TLS);
        // The system's authorities did not sign it.
        let mut systems = with(&brokers, OURS);
        systems.connection.ca_file = None;
        is_refused(&systems, NO_TLS);
    }

    #[test]
    #[ignore = "needs Kafka with TLS"]
    fn a_password_over_tls() {
        let Some(brokers) = listener("password over TLS", "HOOKFLOW_KAFKA_SASL_TLS_BROKERS") else {
            return;
        };
        for mechanism in [SaslMechanism::Plain, SaslMechanism::Scram256] {
            let with =
                |ca, password| settings(over_tls(&brokers, ca, login("app", password, mechanism)));
            until("it is set up", || in_time(setup(&with(OURS, PASSWORD))));
            is_refused(&with(OURS, WRONG), WRONG_LOGIN);
            is_refused(&with(OTHER, PASSWORD), NO_TLS);
        }
        let unknown = login("app", PASSWORD, SaslMechanism::Scram512);
        is_refused(
            &settings(over_tls(&brokers, OURS, unknown)),
            "kafka.mechanism",
        );
    }

    #[test]
    #[ignore = "needs Kafka with TLS"]
    fn a_proof_without_tls() {
        let Some(brokers) = listener("SCRAM", "HOOKFLOW_KAFKA_SASL_BROKERS") else {
            return;
        };
        let scram = |password| as_user(&brokers, login("app", password, SaslMechanism::Scram256));
        until("it is set up", || in_time(setup(&scram(PASSWORD))));
        is_refused(&scram(WRONG), WRONG_LOGIN);
    }

    #[test]
    #[ignore = "needs Kafka with TLS"]
    fn a_broker_without_tls_is_refused_where_tls_is_asked() {
        let Some(brokers) = brokers("tls against plaintext") else {
            return;
        };
        is_refused(&settings(over_tls(&brokers, OURS, None)), NO_TLS);
    }
}

/// Everything that the program prints when it talks of everything.
#[test]
#[ignore = "needs Kafka with TLS"]
fn no_output_of_the_program_tells_a_secret() {
    let (Some(asks), Some(open)) = (
        listener("secrets", "HOOKFLOW_KAFKA_SASL_BROKERS"),
        brokers("secrets"),
    ) else {
        return;
    };
    let cases = [
        (asks.as_str(), PASSWORD, "plain", Some(0)),
        (asks.as_str(), WRONG, "plain", Some(78)),
        // Nobody asks for it there.
        (open.as_str(), WRONG, "plain", None),
        (asks.as_str(), WRONG, "scram-sha-256", Some(78)),
        ("127.0.0.1:1", WRONG, "plain", Some(75)),
    ];
    for (brokers, password, mechanism, code) in cases {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookflow"));
        let ours = std::env::vars().filter(|(name, _)| name.starts_with("HOOKFLOW_"));
        ours.for_each(|(name, _)| {
            command.env_remove(name);
        });
        let topic = settings(plain(brokers)).group;
        command
            .arg("setup")
            .current_dir(&folder)
            .env("HOOKFLOW_SOURCE_LIVE", "kafka")
            .env("HOOKFLOW_KAFKA_BROKERS", brokers)
            .env("HOOKFLOW_KAFKA_TOPICS", topic)
            .env("HOOKFLOW_KAFKA_USER", "app")
            .env("HOOKFLOW_KAFKA_PASSWORD", password)
            .env("HOOKFLOW_KAFKA_MECHANISM", mechanism)
            .env("HOOKFLOW_LOGS_LEVEL", "trace")
            .env("RUST_LOG", "trace");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{brokers} {mechanism}: {} {said}", output.status);
        assert!(!said.contains(password), "{said}");
        assert!(
            code.is_none() || output.status.code() == code,
            "{brokers} {mechanism}: {said}"
        );
    }
}
