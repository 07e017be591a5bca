//! Messages that end the process, and ends that are no message's doing: the real program over NATS, Postgres and ClickHouse.

use std::fs::File;
#[cfg(feature = "faults")]
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hookflow::state::StateStore;
use hookflow::state::postgres::PostgresReader;
use hookflow::state::view::{DeadLetterView, StateReader};
use tempfile::TempDir;

use super::world::{LIMIT, World, until_or_say};
use crate::clickhouse_server::Server;
use crate::conformance_state::database::{Database, connect, runtime};
use crate::recipient_tables::member::{Settings, hookflow};

const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");
/// What a start says that finds records named.
const CRASHED: &str = "the process died while it was decoding";
/// How long the server waits before what a dead process held comes again.
const ACK_WAIT: &str = "2s";
/// The program aborts when it decodes a body that holds this.
#[cfg(feature = "faults")]
const POISON: &str = "arsenic";

/// A stream, a schema and a database of one's own, and the folder of the one member.
struct Place {
    world: World,
    postgres: Database,
    clickhouse: Server,
    folder: TempDir,
    messages: u64,
}

impl Place {
    /// With messages of one event each, whose recipients are known; none without servers, which is said loudly.
    fn new(test: &str, messages: impl Iterator<Item = String>) -> Option<Self> {
        let mut place = Self {
            world: World::new(test)?,
            postgres: Database::new(test)?,
            clickhouse: Server::new(test)?,
            folder: tempfile::tempdir().unwrap(),
            messages: 0,
        };
        let (mut recipients, mut deliveries) = (String::new(), String::new());
        for (number, key) in messages.enumerate() {
            let user = format!("u{}", number % 7);
            let row = serde_json::json!({"provider": "sendgrid", "message_id": format!("m{number}"),
                "recipient": format!("a{number}@example.org"), "user_id": user, "batch_id": "b", "recipient_id": format!("r{number}")});
            let delivery = serde_json::json!({"provider": "sendgrid", "user": user, "body": body(number, &key)});
            recipients.push_str(&format!("{row}\n"));
            deliveries.push_str(&format!("{delivery}\n"));
            place.messages += 1;
        }
        let path = |name: &str| place.folder.path().join(name).display().to_string();
        std::fs::write(path("recipients.jsonl"), recipients).unwrap();
        std::fs::write(path("deliveries.jsonl"), deliveries).unwrap();
        place.run(&["migrate"]);
        place.run(&["setup"]);
        place.run(&["load", "--quiet", &path("recipients.jsonl")]);
        place.run(&["publish", &path("deliveries.jsonl")]);
        Some(place)
    }

    fn settings(&self) -> Settings {
        let (nats, postgres) = (&self.world.settings, &self.postgres.settings);
        let clickhouse = &self.clickhouse.settings;
        vec![
            ("HOOKFLOW_SOURCE_LIVE", "nats".into()),
            ("HOOKFLOW_STORE_STATE", "postgres".into()),
            ("HOOKFLOW_STORE_LOG", "clickhouse".into()),
            (
                "HOOKFLOW_NATS_URL",
                std::env::var("HOOKFLOW_NATS_URL").unwrap(),
            ),
            ("HOOKFLOW_NATS_STREAM", nats.stream.clone()),
            ("HOOKFLOW_NATS_SUBJECT", nats.subject.clone()),
            ("HOOKFLOW_NATS_CONSUMER", nats.consumer.clone()),
            ("HOOKFLOW_NATS_ACK_WAIT", ACK_WAIT.into()),
            ("HOOKFLOW_POSTGRES_URL", postgres.url.clone()),
            ("HOOKFLOW_POSTGRES_SCHEMA", postgres.schema.clone()),
            ("HOOKFLOW_POSTGRES_TLS", "off".into()),
            ("HOOKFLOW_POSTGRES_LOCK_TIMEOUT", "200ms".into()),
            ("HOOKFLOW_CLICKHOUSE_URL", clickhouse.url.clone()),
            ("HOOKFLOW_CLICKHOUSE_DATABASE", clickhouse.database.clone()),
            ("HOOKFLOW_LOG_WINDOW_AGE_MAX", "50ms".into()),
            ("HOOKFLOW_METRICS_LISTEN", "none".into()),
            ("HOOKFLOW_LOGS_LEVEL", "info".into()),
        ]
    }

    fn run(&self, arguments: &[&str]) {
        hookflow(arguments, self.folder.path(), &self.settings());
    }

    /// The member's next life.
    fn start(&self, more: &[(&str, &str)]) -> Child {
        let errors = File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join("stderr"))
            .unwrap();
        Command::new(BINARY)
            .args(["run", "live", "--quiet", "--workers", "2", "--store"])
            .arg(self.folder.path())
            .envs(self.settings())
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Waits until everything is acknowledged, then lets the member end well; its status if it ended before that.
    fn outcome(&self, mut member: Child) -> Option<ExitStatus> {
        let mut ended = None;
        let said = || format!("all is acknowledged: {}", self.said());
        until_or_say(said, || {
            ended = member.try_wait().unwrap();
            ended.is_some() || self.world.is_acknowledged()
        });
        if ended.is_none() {
            let mut command = Command::new("kill");
            command.args(["-TERM", &member.id().to_string()]);
            assert!(command.status().unwrap().success());
            let ended = end(member);
            assert!(ended.success(), "{ended}: {}", self.said());
        }
        ended
    }

    /// The dead letters, with their bytes.
    fn letters(&self) -> Vec<DeadLetterView> {
        let mut reader = PostgresReader::open(self.postgres.settings.clone()).unwrap();
        let listed = reader.dead_letters(100).unwrap().into_iter();
        let whole = listed.map(|letter| reader.dead_letter(&letter.id).unwrap().unwrap());
        whole.collect()
    }

    /// Recipients whose event was applied.
    fn applied(&self) -> u64 {
        let recipients = self.postgres.open().export().unwrap().recipients;
        let delivered = recipients
            .iter()
            .filter(|row| row.flags.contains_key("delivered"));
        delivered.count() as u64
    }
}

fn body(number: usize, key: &str) -> String {
    let event = serde_json::json!([{"email": format!("a{number}@example.org"), "timestamp": 1_772_460_003, "event": "delivered",
        "sg_event_id": key, "sg_message_id": format!("m{number}")}]);
    event.to_string()
}

/// Waits for the end of a process.
fn end(mut child: Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > LIMIT {
            child.kill().unwrap();
        }
        let pause = Duration::from_millis(20);
        crossbeam_channel::never::<()>()
            .recv_timeout(pause)
            .unwrap_err();
    }
}

#[cfg(feature = "faults")]
#[test]
#[ignore = "needs NATS, Postgres and ClickHouse"]
fn a_message_of_nats_that_ends_the_process_becomes_a_dead_letter_and_all_others_are_applied() {
    const WHICH: usize = 11;
    let keys = |number| match number {
        WHICH => POISON.to_owned(),
        _ => format!("e{number}"),
    };
    let Some(place) = Place::new("poison", (0..300).map(keys)) else {
        return;
    };
    let mut deaths = 0;
    while let Some(ended) = place.outcome(place.start(&[("HOOKFLOW_POISON", POISON)])) {
        assert_eq!(ended.signal(), Some(6), "{ended}: {}", place.said());
        deaths += 1;
        assert!(deaths <= 3, "it dies again and again");
    }
    assert_eq!(deaths, 3, "once beside others, twice alone");
    let letters = place.letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].reason_code, "poison");
    assert_eq!(
        letters[0].raw.as_deref(),
        Some(body(WHICH, POISON).as_bytes())
    );
    assert_eq!(place.applied(), place.messages - 1);
}

#[test]
#[ignore = "needs NATS, Postgres and ClickHouse"]
fn ends_in_an_outage_of_the_state_store_make_no_suspects() {
    let Some(place) = Place::new("outages", (0..50).map(|number| format!("e{number}"))) else {
        return;
    };
    let runtime = runtime();
    let lock = runtime.block_on(async {
        let client = connect(&place.postgres.settings.url).await;
        let schema = &place.postgres.settings.schema;
        let words = format!("BEGIN; LOCK TABLE {schema}.recipients IN EXCLUSIVE MODE");
        client.batch_execute(&words).await.unwrap();
        client
    });
    for start in 1..=6 {
        let ended = end(place.start(&[("HOOKFLOW_JOB_MAX_OUTAGE", "1s")]));
        assert_eq!(ended.code(), Some(75), "start {start}: {}", place.said());
    }
    assert!(!place.said().contains(CRASHED), "{}", place.said());
    drop(lock);
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert_eq!(place.outcome(place.start(&[])), None, "{}", place.said());
    assert!(place.letters().is_empty(), "{:?}", place.letters());
    assert_eq!(place.applied(), place.messages);
}
