//! Two members over servers of their own, and those who publish to them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hookflow::log::clickhouse;
use hookflow::log::{EventFilter, LoggedEvent};
use hookflow::state::StateStore;
use hookflow::state::postgres::{self, PostgresStore};
use hookflow::state::view::Export;

use super::broker::{Broker, Message, Standing};
use super::durable::{State, logged};
use super::prepared::Prepared;
use super::stack::Stack;
use crate::process::{self, BINARY};
use crate::world::World;

/// Everything is settled well before.
pub const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked at what has become.
const LOOK: Duration = Duration::from_millis(30);
/// When nothing was acknowledged for so long, nothing more will be.
const STANDSTILL: Duration = Duration::from_secs(2);
/// How fast parts are published: slow enough that load flows while something is done to the fleet.
const RATE: &str = "6_000";

/// The members, their servers, and names of their own in them.
pub struct Fleet<'a> {
    pub name: String,
    pub stack: &'a Stack,
    pub broker: &'a dyn Broker,
    pub world: &'a World,
    /// What all commands are told besides.
    settings: Vec<(&'static str, String)>,
    members: Vec<Child>,
    parts: VecDeque<PathBuf>,
    publishing: Option<Child>,
    /// How much was acknowledged when the last part began to be published.
    before: u64,
}

/// What every command is told.
const SETTINGS: [(&str, &str); 11] = [
    ("HOOKFLOW_STORE_STATE", "postgres"),
    ("HOOKFLOW_STORE_LOG", "clickhouse"),
    ("HOOKFLOW_POSTGRES_TLS", "off"),
    ("HOOKFLOW_METRICS_LISTEN", "none"),
    ("HOOKFLOW_JOB_IN_FLIGHT_EVENTS_MAX", "4000"),
    ("HOOKFLOW_STATE_WINDOW_ROWS_MAX", "500"),
    ("HOOKFLOW_LOG_WINDOW_AGE_MAX", "100ms"),
    ("HOOKFLOW_RETRY_CAP", "1s"),
    ("HOOKFLOW_SWEEP_FIRST", "500ms"),
    ("HOOKFLOW_SWEEP_BACKOFF_CAP", "2s"),
    ("HOOKFLOW_LOGS_LEVEL", "warn"),
];

impl<'a> Fleet<'a> {
    /// A fleet that has nothing and no member yet.
    pub fn new(
        name: &str,
        stack: &'a Stack,
        broker: &'a dyn Broker,
        prepared: &'a Prepared,
        settings: &[(&'static str, &str)],
    ) -> Self {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            name: name.to_owned(),
            stack,
            broker,
            world: &prepared.world,
            settings: settings.collect(),
            members: Vec::new(),
            parts: prepared.parts.iter().cloned().collect(),
            publishing: None,
            before: 0,
        }
    }

    /// Makes everything that the members need.
    pub fn make(&self) {
        self.run(&["migrate"]);
        // A broker that has just started may not answer in time.
        until("the broker is set up", || self.tries(&["setup"]));
        // Before any member reads: one that dies while it loads leaves rows that the others do not see until it is back.
        let recipients = self.world.path("snapshot.jsonl");
        self.run(&["load", "--quiet", &recipients.to_string_lossy()]);
    }

    /// A command with everything that it needs to be told.
    pub fn hookflow(&self) -> Command {
        let mut command = Command::new(BINARY);
        let variable = |name: &str| self.stack.variable(name).to_owned();
        command
            .envs(SETTINGS)
            .env("HOOKFLOW_POSTGRES_URL", variable("HOOKFLOW_POSTGRES_URL"))
            .env("HOOKFLOW_POSTGRES_SCHEMA", &self.name)
            .env(
                "HOOKFLOW_CLICKHOUSE_URL",
                variable("HOOKFLOW_CLICKHOUSE_URL"),
            )
            .env("HOOKFLOW_CLICKHOUSE_DATABASE", &self.name)
            .envs(self.broker.environment(self.stack, &self.name))
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command that must go well.
    pub fn run(&self, arguments: &[&str]) {
        let done = self.status(arguments);
        assert!(done.success(), "{arguments:?}: {done}");
    }

    /// Runs a command that must go well, or end because a server did not answer.
    fn tries(&self, arguments: &[&str]) -> Option<()> {
        let done = self.status(arguments);
        let code = done.code();
        assert!(matches!(code, Some(0 | 75)), "{arguments:?}: {done}");
        done.success().then_some(())
    }

    fn status(&self, arguments: &[&str]) -> ExitStatus {
        let mut command = self.hookflow();
        command.args(arguments);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        process::wait(child, LIMIT, arguments[0]).unwrap()
    }

    /// A member that runs; its words go to a file of the world's folder.
    pub fn member(&self, number: usize) -> Command {
        let errors = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.words(number))
            .unwrap();
        let mut command = self.hookflow();
        command
            .envs(self.broker.member(&self.name, number))
            .args(["run", "live", "--quiet", "--workers", "2", "--store"])
            .arg(self.world.path(&format!("{}-folder-{number}", self.name)))
            .arg("--snapshot")
            .arg(self.world.path("snapshot.jsonl"))
            .arg("--batches")
            .arg(self.world.path("batches.jsonl"))
            .stdout(Stdio::null())
            .stderr(errors);
        command
    }

    /// How often members said such words.
    pub fn said(&self, words: &str) -> usize {
        let all = (0..self.members.len()).map(|number| {
            let said = std::fs::read_to_string(self.words(number)).unwrap_or_default();
            said.matches(words).count()
        });
        all.sum()
    }

    fn words(&self, number: usize) -> PathBuf {
        self.world.path(&format!("{}-member-{number}", self.name))
    }

    /// Starts both members.
    pub fn start(&mut self) {
        self.members = (0..2)
            .map(|number| self.member(number).spawn().unwrap())
            .collect();
    }

    /// Kills a member and starts it again.
    pub fn kill(&mut self, number: usize) {
        self.members[number].kill().unwrap();
        self.members[number].wait().unwrap();
        self.members[number] = self.member(number).spawn().unwrap();
    }

    /// Sends members a signal.
    pub fn signal(&self, members: &[usize], signal: &str) {
        let mut command = Command::new("kill");
        let pids = members.iter().map(|number| self.members[*number].id());
        command.arg(signal).args(pids.map(|pid| pid.to_string()));
        assert!(process::run(command, signal).unwrap().success());
    }

    /// Begins to publish the next part, which takes some seconds. The broker may die as soon as this returns: whoever publishes has
    /// found it.
    pub fn publish(&mut self) {
        self.published();
        let before = self.standing();
        self.before = before.acknowledged;
        let part = self.parts.pop_front().expect("a part for each disturbance");
        let mut command = self.hookflow();
        command.args(["publish", "--rate", RATE]).arg(part);
        self.publishing = Some(command.stdout(Stdio::null()).spawn().unwrap());
        until("the broker holds more", || {
            (self.standing().held() > before.held()).then_some(())
        });
    }

    /// Whether there is another part.
    pub fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Waits until the last part is published.
    pub fn published(&mut self) {
        if let Some(publishing) = self.publishing.take() {
            let done = process::wait(publishing, LIMIT, "publish").unwrap();
            assert!(done.success(), "publish: {done}");
        }
    }

    /// Does something to a server; see `scripts/stack --help`.
    pub fn server(&self, what: &str, service: &str) {
        self.stack.control(what, service);
    }

    /// How far everything is acknowledged.
    pub fn standing(&self) -> Standing {
        let asked = || self.broker.standing(self.stack, &self.name);
        until("the broker answers", asked)
    }

    /// Waits for so many acknowledgements since the last part began to be published. (Not from now on: it may be acknowledged already, all
    /// of it, where a look at the broker takes long.)
    pub fn until_acknowledged(&mut self, more: u64) {
        let started = Instant::now();
        while self.standing().acknowledged < self.before + more {
            let late = started.elapsed() > LIMIT;
            assert!(!late, "no {more} more: {:?}", self.standing());
            self.are_alive();
            process::pause(LOOK);
        }
    }

    fn are_alive(&mut self) {
        for number in 0..self.members.len() {
            let ended = self.members[number].try_wait().unwrap();
            let said = || std::fs::read_to_string(self.words(number)).unwrap_or_default();
            assert_eq!(ended, None, "a member ended by itself: {}", tail(&said()));
        }
    }

    /// Waits until nothing is acknowledged any more.
    pub fn standstill(&self) -> Standing {
        let (mut still, mut since) = (self.standing(), Instant::now());
        let started = Instant::now();
        while since.elapsed() < STANDSTILL {
            assert!(started.elapsed() < LIMIT, "acknowledgements do not end");
            process::pause(LOOK);
            let now = self.standing();
            if (&now.floors, now.acknowledged) != (&still.floors, still.acknowledged) {
                since = Instant::now();
            }
            still = now;
        }
        still
    }

    /// Waits until everything that was published is acknowledged, and what follows from it is done.
    pub fn settle(&mut self) {
        self.published();
        let started = Instant::now();
        while !self.is_settled() {
            self.are_alive();
            let late = started.elapsed() > LIMIT * 2;
            assert!(!late, "still open: {:?}", self.standing());
            process::pause(LOOK);
        }
    }

    /// Whether everything that was published is acknowledged, and what follows from it is done.
    pub fn is_settled(&self) -> bool {
        self.standing().open == 0 && self.store().is_at_rest()
    }

    /// Asks the members to end, which must be a good end.
    pub fn end(&mut self) {
        self.signal(&[0, 1], "-TERM");
        for member in std::mem::take(&mut self.members) {
            let ended = process::wait(member, LIMIT, "a member").unwrap();
            assert!(ended.success(), "{ended}");
        }
    }

    /// Every message of the broker.
    pub fn messages(&self) -> Vec<Message> {
        self.broker.messages(self.stack, &self.name)
    }

    /// A connection to the state store.
    pub fn store(&self) -> State {
        State::connect(self.stack, &self.name)
    }

    /// The identities of all events in the log.
    pub fn logged(&self) -> std::collections::HashSet<u128> {
        logged(self.stack, &self.name)
    }

    /// The whole comparable state.
    pub fn state(&self) -> Export {
        let url = self.stack.variable("HOOKFLOW_POSTGRES_URL");
        let settings = postgres::PostgresConfig::plain(url, &self.name);
        PostgresStore::open(settings).unwrap().export().unwrap()
    }

    /// The whole log.
    pub fn log(&self) -> Vec<LoggedEvent> {
        let url = self.stack.variable("HOOKFLOW_CLICKHOUSE_URL");
        let settings = clickhouse::ClickHouseConfig::plain(url, &self.name);
        clickhouse::events(&settings, &EventFilter::default()).unwrap()
    }
}

/// Waits until something is found, but not for ever.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        process::pause(LOOK);
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for child in self.members.iter_mut().chain(&mut self.publishing) {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            for number in 0..2 {
                let said = std::fs::read_to_string(self.words(number)).unwrap_or_default();
                println!("member {number} said last:\n{}", tail(&said));
            }
        }
    }
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
