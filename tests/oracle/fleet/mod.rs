//! Two members over real servers: a broker in, Postgres and ClickHouse out, and everything that can go wrong on the way.
//!
//! What they must leave is what the embedded job makes of the same deliveries, whose own result the oracle judges first. On the
//! way, sinks are frozen under load, to see that nothing is acknowledged before it is durable in both.
//!
//! * [`stack`]: servers of a test's own; [`broker`], [`nats`], [`kafka`]: what differs between brokers;
//! * [`prepared`], [`contents`]: a world, what becomes of it, and what each message of it holds;
//! * [`members`], [`durable`]: the fleet, and what it has made durable;
//! * [`freeze`]: nothing is acknowledged early; [`compare`]: the result; [`wrong`]: the freezes can go red;
//! * [`points`]: death at the edges towards servers.

mod broker;
mod compare;
mod contents;
mod durable;
mod freeze;
mod kafka;
mod members;
mod nats;
mod points;
mod prepared;
mod stack;
mod wrong;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::SliceRandom;

use self::broker::Broker;
use self::freeze::{Freeze, freeze};
use self::members::Fleet;
use self::prepared::{Made, Prepared};
use self::stack::Stack;
use crate::process;
use crate::world::random;

/// These tests load the machine and measure time: one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often each member is killed at random: fewer times than a message that ends the process may be tried.
const KILLS: usize = 3;

/// Parts of the deliveries, one for each thing that is done to the fleet, and two for each freeze.
const PARTS: usize = 2 * KILLS + 2 * 4 + 3 + 1;

fn kills(fleet: &mut Fleet<'_>) {
    let mut random = random(fleet.world.seed, 9);
    let mut victims = [0, 1].repeat(KILLS);
    victims.shuffle(&mut random);
    for victim in victims {
        fleet.publish();
        fleet.until_acknowledged(random.random_range(1..700));
        fleet.kill(victim);
    }
}

/// However fast the fleet is, much is open then.
fn another_part(fleet: &mut Fleet<'_>) {
    fleet.publish();
    fleet.published();
}

/// Freezes what is written to while more comes, and finds nothing acknowledged early.
fn freezes(fleet: &mut Fleet<'_>, prepared: &Prepared) {
    for what in [Freeze::Log, Freeze::Tables, Freeze::State, Freeze::Both] {
        fleet.publish();
        fleet.until_acknowledged(300);
        let found = freeze(fleet, &prepared.contents, what, another_part).unwrap();
        println!("{what:?}: {found:?}");
        assert!(
            found.acknowledged > 300,
            "{what:?} proves nothing: {found:?}"
        );
        assert!(found.open > 300, "{what:?} proves nothing: {found:?}");
    }
}

/// Every server dies under load and comes back.
fn servers(fleet: &mut Fleet<'_>) {
    for service in [fleet.broker.service(), "postgres", "clickhouse"] {
        fleet.publish();
        fleet.until_acknowledged(300);
        fleet.server("kill", service);
        process::pause(Duration::from_millis(500));
        fleet.server("start", service);
    }
}

/// A member is frozen until others may take over what it holds, and wakes up again.
fn presumed_dead(fleet: &mut Fleet<'_>) {
    fleet.publish();
    fleet.until_acknowledged(300);
    fleet.signal(&[0], "-STOP");
    process::pause(fleet.broker.patience() * 2);
    fleet.signal(&[0], "-CONT");
}

/// What the members left is what the embedded job makes of the same deliveries, and the oracle's.
fn judge(fleet: &Fleet<'_>, right: &Made) {
    let (state, log) = (fleet.state(), fleet.log());
    compare::equal((&state, &log), (&right.state, &right.log));
    let (store, truth) = (fleet.store(), &fleet.world.truth);
    assert_eq!(store.events().len(), truth.events.len());
    assert_eq!(store.parked(), truth.parked);
    let deliveries = fleet.world.path("deliveries.jsonl");
    let true_letters = contents::letters_as_published(&deliveries, truth.dead.keys());
    assert_eq!(store.letters(), true_letters);
    let (completions, untold) = store.completions();
    assert!(completions > 0, "no batch is complete");
    assert_eq!(untold, 0, "of {completions} completions");
}

/// Whatever dies, nothing is lost, doubled or acknowledged early.
fn exact(broker: &dyn Broker, test: &str) {
    let _alone = alone();
    let Some(stack) = Stack::start(test, &["postgres", "clickhouse", broker.service()]) else {
        return;
    };
    let started = Instant::now();
    let told = |what: &str| println!("{what}: after {:?}", started.elapsed());
    let prepared = Prepared::new(30_000, 90_000, 50, PARTS);
    let events = prepared.world.truth.events.len();
    assert!(events >= 100_000, "only {events} events");
    let embedded = prepared.embedded();
    told(&format!("a world of {events} events"));
    let mut fleet = Fleet::new("fleet", &stack, broker, &prepared, &[]);
    fleet.make();
    fleet.start();
    kills(&mut fleet);
    told("kills");
    freezes(&mut fleet, &prepared);
    told("freezes");
    servers(&mut fleet);
    told("servers");
    presumed_dead(&mut fleet);
    fleet.settle();
    assert!(!fleet.has_parts());
    told("settled");
    println!("members joined anew {} times", fleet.said("it joins anew"));
    fleet.end();
    judge(&fleet, &embedded);
    fleet.run(&["run", "replay", "--stream", "--quiet"]);
    // A replay of the past changes nothing.
    judge(&fleet, &embedded);
    told("judged");
}

#[test]
#[ignore = "needs the servers of scripts/stack"]
fn nats_loses_and_doubles_nothing_whatever_dies() {
    exact(&nats::Nats, "fleet over NATS");
}

#[test]
#[ignore = "needs the servers of scripts/stack"]
fn kafka_loses_and_doubles_nothing_whatever_dies() {
    exact(&kafka::Kafka, "fleet over Kafka");
}
