//! Two members over real servers: NATS in, Postgres and ClickHouse out, and everything that can go wrong on the way.
//!
//! What they must leave is what the embedded job makes of the same deliveries, whose own result the oracle judges first.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hookflow::event::Millis;
use hookflow::sink::log::clickhouse;
use hookflow::sink::log::parquet;
use hookflow::sink::log::{Filter, LoggedEvent};
use hookflow::sink::state::StateStore;
use hookflow::sink::state::postgres::{self, PostgresStore};
use hookflow::sink::state::sqlite::SqliteStore;
use hookflow::sink::state::view::Export;
use hookflow::source::nats;
use hookflow::source::nats::settings::{Connection, Login, Secret};
use rand::Rng;

use crate::judge::judge;
use crate::process::{self, BINARY, Replay};
use crate::skip::skipped_server;
use crate::world::{World, random};

/// Everything is settled well before.
const LIMIT: Duration = Duration::from_secs(150);
/// What the members let pass before the server delivers again; frozen members are frozen for longer.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// The servers, and names of our own in them.
struct Fleet {
    name: String,
    postgres: String,
    clickhouse: String,
    nats: String,
    stack: String,
}

impl Fleet {
    /// None without servers, which is said loudly.
    fn new(name: &str) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let found = (|| {
            Some(Self {
                name: format!("{name}_{:08x}", rand::random::<u32>()),
                postgres: variable("HOOKFLOW_POSTGRES_URL")?,
                clickhouse: variable("HOOKFLOW_CLICKHOUSE_URL")?,
                nats: variable("HOOKFLOW_NATS_URL")?,
                stack: variable("HOOKFLOW_STACK_DIR")?,
            })
        })();
        if found.is_none() {
            skipped_server(&format!(
                "fleet {name}: no servers (start them with scripts/stack)"
            ));
        }
        found
    }

    fn hookflow(&self) -> Command {
        let mut command = Command::new(BINARY);
        for (name, value) in [
            ("HOOKFLOW_STORE_STATE", "postgres"),
            ("HOOKFLOW_STORE_LOG", "clickhouse"),
            ("HOOKFLOW_SOURCE_LIVE", "nats"),
            ("HOOKFLOW_POSTGRES_TLS", "off"),
            ("HOOKFLOW_POSTGRES_SCHEMA", &self.name),
            ("HOOKFLOW_CLICKHOUSE_DATABASE", &self.name),
            ("HOOKFLOW_NATS_STREAM", &self.name),
            ("HOOKFLOW_NATS_SUBJECT", &self.name),
            ("HOOKFLOW_NATS_CONSUMER", &self.name),
            ("HOOKFLOW_NATS_ACK_WAIT", "2s"),
            ("HOOKFLOW_METRICS_LISTEN", "none"),
            ("HOOKFLOW_STATE_WINDOW_ROWS_MAX", "500"),
            ("HOOKFLOW_LOG_WINDOW_AGE_MAX", "100ms"),
            ("HOOKFLOW_LOGS_LEVEL", "warn"),
        ] {
            command.env(name, value);
        }
        command
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = self.hookflow();
        command.args(arguments);
        let done = process::run(command, arguments[0]).unwrap();
        assert!(done.success(), "{arguments:?}: {done}");
    }

    fn member(&self, world: &World, lanes: &str) -> Child {
        let number = &lanes[..1];
        let errors = std::fs::File::options()
            .append(true)
            .create(true)
            .open(world.path(&format!("member-{number}")))
            .unwrap();
        self.hookflow()
            .env("HOOKFLOW_NATS_LANES", lanes)
            .args(["run", "live", "--quiet", "--workers", "2", "--store"])
            .arg(world.path(&format!("folder-{number}")))
            .arg("--snapshot")
            .arg(world.path("all.jsonl"))
            .arg("--batches")
            .arg(world.path("batches.jsonl"))
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    /// Does something to a server; see `scripts/stack --help`.
    fn server(&self, what: &str, service: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack");
        let mut command = Command::new(script);
        command.args(["--dir", &self.stack, what, service]);
        let done = process::run(command, what).unwrap();
        assert!(done.success(), "{what} {service}: {done}");
    }

    fn settings(&self) -> nats::Settings {
        nats::Settings {
            connection: Connection {
                servers: Secret::new(self.nats.clone()),
                login: Login::None,
                tls_required: false,
                ca_file: None,
                certificate: None,
            },
            stream: self.name.clone(),
            subject: self.name.clone(),
            consumer: self.name.clone(),
            lanes: nats::assign::Lanes::all(),
            acknowledge: nats::settings::Acknowledge::UpTo,
            ack_wait: ACK_WAIT,
            ack_pending_max: 1,
            batch_messages: 1,
            batch_bytes: 1,
            stall_limit: LIMIT,
            storage: nats::settings::Storage {
                max_age: LIMIT,
                replicas: 1,
                duplicate_window: LIMIT,
            },
        }
    }

    /// Messages that no member has acknowledged yet.
    fn open(&self) -> u64 {
        let settings = self.settings();
        let found = nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&settings.connection, |_| {}).await;
            let context = async_nats::jetstream::new(client.ok()?);
            nats::stream::find(&context, &settings).await.ok()
        });
        found.map_or(u64::MAX, |found| {
            let lanes = found.consumers.iter();
            lanes
                .map(|lane| lane.num_pending + lane.num_ack_pending as u64)
                .sum()
        })
    }

    fn settle(&self, members: &mut [Child]) {
        let started = Instant::now();
        while self.open() > 0 {
            for member in members.iter_mut() {
                assert_eq!(member.try_wait().unwrap(), None, "a member ended by itself");
            }
            assert!(
                started.elapsed() < LIMIT,
                "{} messages are open",
                self.open()
            );
            process::pause(Duration::from_millis(100));
        }
    }

    fn state(&self) -> Export {
        let settings = postgres::Settings::plain(&self.postgres, &self.name);
        PostgresStore::open(settings).unwrap().export().unwrap()
    }

    fn log(&self) -> Vec<LoggedEvent> {
        let settings = clickhouse::Settings::plain(&self.clickhouse, &self.name);
        clickhouse::events(&settings, &Filter::default()).unwrap()
    }
}

fn signal(child: &Child, signal: &str) {
    let mut command = Command::new("kill");
    command.args([signal, &child.id().to_string()]);
    assert!(process::run(command, signal).unwrap().success());
}

/// State rows and kinds of events that bear no time of their own: any copy's time of receipt is right for those.
fn timeless(log: &[LoggedEvent]) -> BTreeSet<[String; 4]> {
    let events = log.iter().filter(|event| event.occurred_at.is_none());
    let name = |event: &LoggedEvent| {
        [
            &event.user,
            &event.batch_id,
            &event.recipient_id,
            &event.kind,
        ]
        .map(|text| text.to_string())
    };
    events.map(name).collect()
}

/// Without the moments of this run and the times that may be any copy's; what else differs is wrong.
fn comparable(export: Export, timeless: &BTreeSet<[String; 4]>) -> Export {
    let mut export = export.comparable();
    for row in &mut export.recipients {
        for (flag, span) in &mut row.flags {
            // The flags of a kind bear its name: bounced_soft, machine_opened.
            let free = timeless.iter().any(|[user, batch, recipient, kind]| {
                (user, batch, recipient) == (&row.user, &row.batch_id, &row.recipient_id)
                    && flag.contains(kind.as_str())
            });
            if free {
                (span.first, span.last) = (Millis(0), Millis(0));
            }
        }
    }
    for batch in &mut export.batches {
        batch.sealed_at = batch.sealed_at.map(|_| Millis(0));
    }
    export
}

/// One line an event, without what copies of it may differ in.
fn lines(events: Vec<LoggedEvent>) -> Vec<String> {
    let line = |mut event: LoggedEvent| {
        event.received_at = Millis(0);
        format!("{event:?}")
    };
    let mut lines: Vec<String> = events.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn texts(rows: &[impl std::fmt::Debug]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}

fn same(what: &str, served: &[String], embedded: &[String]) {
    let pairs = served.iter().zip(embedded);
    let different: Vec<_> = pairs.filter(|(a, b)| a != b).collect();
    assert_eq!(
        different.first(),
        None,
        "{what}: {} of {} differ",
        different.len(),
        embedded.len()
    );
    assert_eq!(served.len(), embedded.len(), "{what}");
}

/// The world with all recipients in one snapshot, and what the embedded job makes of it.
fn world(seed: u64) -> (World, Export, Vec<LoggedEvent>) {
    let world = World::new(seed, 12_000, 50);
    let judged = Replay::new(&world, "judged", 2);
    judged.succeed().unwrap();
    judge(&world, &judged.store).unwrap();
    let text = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    let all = text("snapshot.jsonl") + &text("snapshot-late.jsonl");
    std::fs::write(world.path("all.jsonl"), &all).unwrap();
    std::fs::write(world.path("snapshot.jsonl"), &all).unwrap();
    let embedded = Replay::new(&world, "embedded", 2);
    embedded.succeed().unwrap();
    let state = SqliteStore::open(&embedded.store)
        .unwrap()
        .export()
        .unwrap();
    let log = parquet::events(&embedded.store.join("log"), &Filter::default()).unwrap();
    (world, state, log)
}

fn publish(fleet: &Fleet, deliveries: &Path) {
    fleet.run(&["migrate"]);
    fleet.run(&["setup"]);
    fleet.run(&["publish", deliveries.to_str().unwrap()]);
}

#[test]
fn two_members_lose_and_double_nothing_whatever_dies() {
    let Some(fleet) = Fleet::new("fleet") else {
        return;
    };
    let (world, state, log) = world(30_000);
    publish(&fleet, &world.path("deliveries.jsonl"));
    let lanes = ["1/2", "2/2"];
    let mut members = lanes.map(|lanes| fleet.member(&world, lanes));
    let mut random = random(world.seed, 9);
    for _ in 0..10 {
        let one = random.random_range(0..2);
        process::pause(Duration::from_millis(random.random_range(50..900)));
        signal(&members[one], "-KILL");
        members[one].wait().unwrap();
        members[one] = fleet.member(&world, lanes[one]);
    }
    for service in ["nats", "postgres", "clickhouse"] {
        fleet.server("kill", service);
        process::pause(Duration::from_millis(500));
        fleet.server("start", service);
    }
    signal(&members[0], "-STOP");
    process::pause(ACK_WAIT * 2);
    signal(&members[0], "-CONT");
    fleet.settle(&mut members);
    for member in members {
        signal(&member, "-TERM");
        let ended = process::wait(member, LIMIT, "a member").unwrap();
        assert!(ended.success(), "{ended}");
    }
    let before = fleet.state();
    fleet.run(&["run", "replay", "--stream", "--quiet"]);
    assert_eq!(
        fleet.state(),
        before,
        "a replay of the past changed something"
    );
    let timeless = timeless(&log);
    println!(
        "{} spans of {} rows may bear any copy's time",
        timeless.len(),
        state.recipients.len()
    );
    let (served, embedded) = (
        comparable(fleet.state(), &timeless),
        comparable(state, &timeless),
    );
    same(
        "recipients",
        &texts(&served.recipients),
        &texts(&embedded.recipients),
    );
    same(
        "batches",
        &texts(&served.batches),
        &texts(&embedded.batches),
    );
    same("log", &lines(fleet.log()), &lines(log));
}
