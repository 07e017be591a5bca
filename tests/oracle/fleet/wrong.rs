//! The freezes must be able to go red: each wrong design that acknowledges early is caught by them.

use std::time::Instant;

use super::broker::Broker;
use super::freeze::{Freeze, freeze};
use super::kafka::Kafka;
use super::members::Fleet;
use super::nats::Nats;
use super::prepared::Prepared;
use super::stack::Stack;
use super::{alone, another_part};

/// Freezes a fleet with a wrong design again and again until that is found; the objection.
fn caught(
    broker: &dyn Broker,
    name: &str,
    kinds: &[Freeze],
    settings: &[(&'static str, &str)],
) -> String {
    let _alone = alone();
    let test = format!("freezes of {name} over {}", broker.service());
    let prepared = Prepared::new(30_100, 90_000, 50, 48);
    let Some(stack) = Stack::start(&test, &["postgres", "clickhouse", broker.service()]) else {
        return String::new();
    };
    let settings = [&[("HOOKFLOW_WRONG", name)], settings].concat();
    let mut fleet = Fleet::new("wrong", &stack, broker, &prepared, &settings);
    fleet.make();
    fleet.start();
    let started = Instant::now();
    for kind in kinds.iter().cycle() {
        assert!(fleet.has_parts(), "{name} is not caught");
        fleet.publish();
        fleet.until_acknowledged(300);
        match freeze(&mut fleet, &prepared.contents, *kind, another_part) {
            Ok(found) => println!("{name} is not caught by {kind:?}: {found:?}"),
            Err(objection) => {
                println!("{name}: {objection} ({:?})", started.elapsed());
                return objection;
            }
        }
    }
    unreachable!()
}

fn before_the_log(broker: &dyn Broker) {
    let objection = caught(broker, "acknowledge-before-the-log", &[Freeze::Log], &[]);
    assert!(objection.is_empty() || objection.contains("in the log: false"));
}

#[test]
#[ignore = "needs the servers of scripts/stack"]
fn wrong_acknowledge_before_the_log_is_caught_over_nats() {
    before_the_log(&Nats);
}

#[test]
#[ignore = "needs the servers of scripts/stack"]
fn wrong_acknowledge_before_the_log_is_caught_over_kafka() {
    before_the_log(&Kafka);
}

/// Over Kafka: a member of NATS holds so little more than is in flight that settled messages hardly overtake others.
#[test]
#[ignore = "needs the servers of scripts/stack"]
fn wrong_acknowledge_the_maximum_is_caught_over_kafka() {
    let kinds = [Freeze::Tables, Freeze::Log];
    // Little is in flight at once, so that records wait: settled ones overtake them.
    let little = [
        ("HOOKFLOW_JOB_IN_FLIGHT_EVENTS_MAX", "200"),
        ("HOOKFLOW_JOB_WORKERS", "4"),
    ];
    caught(&Kafka, "acknowledge-the-maximum", &kinds, &little);
}
