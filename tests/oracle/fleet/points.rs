//! Death at the edges towards servers: a member dies there, another run settles everything, and the result is the oracle's.

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hookflow::failpoint::Failpoint;

use super::broker::Broker;
use super::kafka::Kafka;
use super::members::{Fleet, LIMIT};
use super::nats::Nats;
use super::prepared::{Made, Prepared};
use super::stack::Stack;
use super::{alone, judge};
use crate::points::{SERVERS, died};
use crate::process;
use crate::seeds::each;

/// Edges that the state store's server has in common with the embedded store: passed here once more, towards the server.
const STORE: [Failpoint; 10] = [
    Failpoint::StoreOpen,
    Failpoint::StoreMigrate,
    Failpoint::StoreApply,
    Failpoint::StoreDeadLetters,
    Failpoint::StoreLoadBegin,
    Failpoint::StoreLoad,
    Failpoint::StoreLoadEnd,
    Failpoint::StoreDeadline,
    Failpoint::StoreRelay,
    Failpoint::SourceSettle,
];

/// Edges that are other ones, or lie elsewhere in time, with another broker.
const BROKER: [Failpoint; 5] = [
    Failpoint::SourceConnect,
    Failpoint::SourceFetch,
    Failpoint::SourceAcknowledge,
    Failpoint::SourceSettle,
    Failpoint::LogInsert,
];

/// One death.
struct Case<'a> {
    fleet: Fleet<'a>,
    point: Failpoint,
    moment: &'static str,
}

impl Case<'_> {
    fn crashing(&self, mut command: Command) -> Command {
        let spec = format!("{}:{}", self.point.name(), self.moment);
        command.env("HOOKFLOW_CRASH", spec);
        command
    }

    /// The only member, which reads everything.
    fn member(&self) -> Command {
        let mut command = self.fleet.member(0);
        command.env("HOOKFLOW_POINTS", self.passed());
        command
    }

    fn passed(&self) -> std::path::PathBuf {
        self.fleet
            .world
            .path(&format!("{}-points", self.fleet.name))
    }

    /// Makes everything that the member needs; whether that died where it was to.
    fn make(&mut self) -> Result<bool, String> {
        let mut command = self.fleet.hookflow();
        command.arg("migrate").env("HOOKFLOW_POINTS", self.passed());
        let dies = matches!(self.point, Failpoint::LogMigrate | Failpoint::StoreMigrate);
        let has_died = if dies {
            died(process::run(self.crashing(command), "migrate")?)?
        } else {
            false
        };
        self.fleet.make();
        self.fleet.publish();
        self.fleet.published();
        Ok(has_died)
    }

    /// Runs a member until everything is settled, or it dies before; whether it died.
    fn settles(&self, command: &mut Command) -> Result<bool, String> {
        let mut member = command.spawn().unwrap();
        let started = Instant::now();
        loop {
            if let Some(status) = member.try_wait().unwrap() {
                return if died(status)? {
                    Ok(true)
                } else {
                    Err("the member ended by itself".to_owned())
                };
            }
            if self.fleet.is_settled() {
                return ends(member);
            }
            if started.elapsed() > LIMIT {
                member.kill().unwrap();
                member.wait().unwrap();
                return Err(format!("open: {:?}", self.fleet.standing()));
            }
            process::pause(Duration::from_millis(20));
        }
    }

    fn run(&mut self, right: &Made) -> Result<bool, String> {
        let mut has_died = self.make()?;
        has_died |= self.settles(&mut self.crashing(self.member()))?;
        // There is something left to do, whatever the first run did.
        self.fleet.publish();
        self.fleet.published();
        if self.settles(&mut self.member())? {
            return Err("the second run died, too".to_owned());
        }
        judge(&self.fleet, right);
        Ok(has_died)
    }
}

/// Asks a member to end; whether it died of it.
fn ends(member: Child) -> Result<bool, String> {
    let pid = member.id().to_string();
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &pid]);
    process::run(kill, "kill")?;
    died(process::wait(member, LIMIT, "a member")?)
}

/// What is to be seen of a point: towards each broker, if it is an edge towards brokers.
fn name(broker: &dyn Broker, point: Failpoint) -> String {
    match point {
        Failpoint::SourceConnect | Failpoint::SourceFetch | Failpoint::SourceAcknowledge => {
            format!("{} of {}", point.name(), broker.service())
        }
        _ => point.name().to_owned(),
    }
}

/// What was seen of the points.
#[derive(Default)]
struct Seen {
    passed: BTreeSet<String>,
    died: BTreeSet<String>,
}

/// The edges of the first broker's members, and those of the other one's that are not the same.
fn cases(brokers: [&dyn Broker; 2]) -> Vec<(&dyn Broker, Failpoint, &'static str)> {
    let first = SERVERS.iter().chain(&STORE);
    let first = first.map(|point| (brokers[0], *point));
    let second = BROKER.iter().map(|point| (brokers[1], *point));
    let moments = ["before:1", "after:1"];
    let each = |(broker, point)| moments.map(move |moment| (broker, point, moment));
    first.chain(second).flat_map(each).collect()
}

impl Case<'_> {
    /// Runs it, and notes what was seen.
    fn see(mut self, right: &Made, seen: &Mutex<Seen>) -> Result<(), String> {
        let broker = self.fleet.broker;
        let what = format!(
            "{}:{} over {}",
            self.point.name(),
            self.moment,
            broker.service()
        );
        println!("{}: {what}", self.fleet.name);
        let died = self
            .run(right)
            .map_err(|error| format!("{what}: {error}"))?;
        let passed = std::fs::read_to_string(self.passed()).unwrap_or_default();
        let (mut seen, name) = (seen.lock().unwrap(), name(broker, self.point));
        if passed.lines().any(|line| line == self.point.name()) {
            seen.passed.insert(name.clone());
        }
        if died {
            seen.died.insert(name);
        }
        Ok(())
    }
}

#[test]
#[ignore = "needs the servers of scripts/stack"]
fn crash_points_of_servers() {
    let _alone = alone();
    let services = ["postgres", "clickhouse", "nats", "kafka"];
    let Some(stack) = Stack::start("crash points of servers", &services) else {
        return;
    };
    let started = Instant::now();
    let prepared = Prepared::new(20_100, 600, 20, 2);
    let right = prepared.embedded();
    let cases = cases([&Nats, &Kafka]);
    let seen = Mutex::<Seen>::default();
    each(cases.len() as u64, |number| {
        let (broker, point, moment) = cases[usize::try_from(number).unwrap()];
        let fleet = Fleet::new(&format!("case_{number}"), &stack, broker, &prepared, &[]);
        let case = Case {
            fleet,
            point,
            moment,
        };
        case.see(&right, &seen)
    });
    let names = cases.iter().map(|(broker, point, _)| name(*broker, *point));
    let all: BTreeSet<String> = names.collect();
    let seen = seen.into_inner().unwrap();
    println!("{} edges to servers in {:?}", all.len(), started.elapsed());
    let never: Vec<_> = all.difference(&seen.passed).collect();
    assert!(never.is_empty(), "no run passes {never:?}");
    let survived: Vec<_> = all.difference(&seen.died).collect();
    assert!(survived.is_empty(), "no run died at {survived:?}");
}
