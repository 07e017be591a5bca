//! A partition over which processes died: one message at a time, in the order of the stream, whoever held them.

use std::path::Path;
use std::time::Duration;

use hookflow::metrics::Counter;
use hookflow::source::attempt::PartitionAttempt;
use hookflow::source::nats::settings::Acknowledge;
use hookflow::source::{Record, Records};

use super::job::Job;
use super::server::Server;
use super::world::{LIMIT, World, until, until_or_say, until_within};
use crate::broker::suspicion::{Suspicion, Written, singly};

const ACK_WAIT: Duration = Duration::from_secs(1);

fn suspicion(partition: u32, row: PartitionAttempt, written: &Written) -> Box<Suspicion> {
    Suspicion::new(format!(" partition {partition} of "), row, written)
}

/// The number in a message, and whether it is condemned.
fn read(record: &Record) -> (u64, bool) {
    let (message, condemned) = match record {
        Record::Message(message) => (message, false),
        Record::Condemned(message) => (message, true),
        other => panic!("{other:?}"),
    };
    (
        std::str::from_utf8(&message.body).unwrap().parse().unwrap(),
        condemned,
    )
}

#[test]
#[ignore = "needs NATS"]
fn messages_of_a_suspect_lane_go_singly_and_in_order_whoever_held_them() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(world) = World::new("suspicion") else {
            return;
        };
        let world = world.set_up_with(acknowledge, ACK_WAIT);
        let partition = world.publish_to_one_lane(0..9);
        world.died_over(partition, 5);
        let written = Written::default();
        let row = PartitionAttempt {
            running: true,
            named: Some((3, 4)),
            ..singly()
        };
        let mut job = Job::guarded(&world.settings, suspicion(partition, row, &written));
        // What settled before the third was named goes first, then that alone, then one after the other.
        let mut expected = vec![vec![(0, false), (1, false)], vec![(2, true)]];
        expected.extend((3..9).map(|number| vec![(number, false)]));
        for (place, expected) in expected.iter().enumerate() {
            let parcels = job.take(expected.len());
            let came: Vec<_> = parcels
                .iter()
                .flat_map(|parcel| &parcel.records)
                .map(read)
                .collect();
            assert_eq!(&came, expected, "{acknowledge:?}");
            if place < 2 {
                job.is_quiet(Duration::from_millis(300));
            }
            job.settle_all(&parcels);
        }
        until("all is acknowledged", || world.is_acknowledged());
        until("the partition is trusted", || {
            let rows: Vec<PartitionAttempt> = written.lock().unwrap().clone();
            let last = rows.iter().rev().find(|row| {
                row.partition
                    .contains(&format!(" partition {partition} of "))
            });
            last.is_some_and(|row| row.deaths == 0 && row.condemned.is_none())
        });
        assert!(job.end().is_none());
    }
}

/// One message, and nothing else before it is settled.
fn one(job: &mut Job) -> (u64, Records) {
    let mut parcels = job.take(1);
    let parcel = parcels.pop().unwrap();
    assert_eq!(parcel.records.len(), 1);
    (read(&parcel.records[0]).0, parcel)
}

/// The server passes over an acknowledgement *up to* a delivery that is older than the last that was acknowledged.
#[test]
#[ignore = "needs NATS"]
fn what_the_dead_gave_back_first_is_acknowledged_though_it_was_delivered_before() {
    let Some(world) = World::new("given back first") else {
        return;
    };
    let world = world.set_up_with(Acknowledge::UpTo, ACK_WAIT);
    let partition = world.publish_to_one_lane(0..4);
    world.died_over(partition, 4);
    // So these are delivered again at once, and the first two when the server's patience is over.
    for delivery in [3, 4] {
        world.answer(partition, delivery, delivery, "-NAK");
    }
    let written = Written::default();
    let mut job = Job::guarded(&world.settings, suspicion(partition, singly(), &written));
    for number in 0..4 {
        let (came, parcel) = one(&mut job);
        assert_eq!(came, number);
        job.settle_all(&[parcel]);
        until("it is acknowledged", || {
            let info = world.consumer(partition);
            info.ack_floor.stream_sequence == number + 1
                && info.num_ack_pending as u64 == 3 - number
        });
    }
    assert!(job.count(Counter::Redelivered) >= 4);
    assert!(job.end().is_none());
}

/// How far a consumer is, as nats-server writes it down (`encodeConsumerState` in its `store.go`): the sequence that is acknowledged, and
/// that which is delivered.
fn kept(state: &[u8]) -> Option<(u64, u64)> {
    let mut rest = state.get(2..)?.iter();
    let mut number = || {
        let mut number = 0;
        for place in 0.. {
            let byte = rest.next()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(number)
    };
    let numbers = [number()?, number()?, number()?, number()?];
    Some((numbers[1], numbers[3]))
}

/// The state of a partition's consumer, once that is what is written down.
fn state_at(path: &Path, expected: (u64, u64)) -> Vec<u8> {
    let mut state = Vec::new();
    until("the deliveries are written down", || {
        state = std::fs::read(path).unwrap_or_default();
        kept(&state) == Some(expected)
    });
    state
}

/// The server writes down how far a consumer is now and then; one that dies goes on with what it wrote last.
#[test]
#[ignore = "needs NATS"]
fn what_the_server_has_forgotten_goes_back_and_the_lane_goes_on() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(mut server) = Server::start("forgotten", "") else {
            return;
        };
        let world = World::on(&server.url()).set_up_with(acknowledge, ACK_WAIT);
        let partition = world.publish_to_one_lane(0..4);
        let written = Written::default();
        let mut job = Job::guarded(&world.settings, suspicion(partition, singly(), &written));
        let (came, first) = one(&mut job);
        assert_eq!(came, 0);
        let (stream, consumer) = (
            &world.settings.stream,
            world.settings.consumer_of(partition),
        );
        let path = server.state_of(stream, &consumer);
        let state = state_at(&path, (0, 4));
        job.settle_all(&[first]);
        let (came, second) = one(&mut job);
        assert_eq!(came, 1);
        server.kill();
        std::fs::write(&path, state).unwrap();
        server.start_again();
        assert_eq!(world.consumer(partition).ack_floor.stream_sequence, 0);
        let says = || {
            let (troubles, failure) = (job.health.problems(), job.health.take_failure());
            format!("the first is delivered again: {troubles:?}, {failure:?}")
        };
        until_or_say(says, || job.count(Counter::Redelivered) > 0);
        job.settle_all(&[second]);
        // The second is held, and durable.
        for expected in [0, 2, 3] {
            let (came, parcel) = one(&mut job);
            assert_eq!(came, expected, "{acknowledge:?}");
            job.settle_all(&[parcel]);
        }
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    }
}

/// A server delivers what is overdue again before what it has forgotten.
#[test]
#[ignore = "needs NATS"]
fn what_the_server_has_forgotten_comes_though_much_was_open() {
    let Some(mut server) = Server::start("forgotten behind much", "") else {
        return;
    };
    let world = World::on(&server.url()).set_up_with(Acknowledge::UpTo, ACK_WAIT);
    // However little is in work, the reader asks for so many.
    let (many, more) = (256, 3);
    let partition = world.publish_to_one_lane(0..many);
    let once = PartitionAttempt {
        deaths: 1,
        ..singly()
    };
    let mut job = Job::guarded(
        &world.settings,
        suspicion(partition, once, &Written::default()),
    );
    let first = job.take(1);
    let path = server.state_of(
        &world.settings.stream,
        &world.settings.consumer_of(partition),
    );
    let state = state_at(&path, (0, many));
    world.publish_to_one_lane(many..many + more);
    until("all is delivered", || {
        world.consumer(partition).delivered.stream_sequence == many + more
    });
    // And has come, of which nothing is seen: the first are in work, alone.
    job.is_quiet(ACK_WAIT / 2);
    server.kill();
    std::fs::write(&path, state).unwrap();
    // All that was open is overdue by then.
    job.is_quiet(ACK_WAIT * 2);
    server.start_again();
    job.settle_all(&first);
    // It would take twice as long if each look at the server asked for no more than what is missing.
    until_within(LIMIT / 4, "the first are acknowledged", || {
        job.count(Counter::Acknowledged) > 0
    });
    let mut came: usize = first.iter().map(|parcel| parcel.records.len()).sum();
    while came < usize::try_from(many + more).unwrap() {
        let parcels = job.take(1);
        came += parcels[0].records.len();
        job.settle_all(&parcels);
    }
    assert!(job.count(Counter::Redelivered) >= many);
    until("all is acknowledged", || world.is_acknowledged());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn a_suspect_lane_with_much_waiting_leaves_others_their_turn() {
    let Some(world) = World::new("turns") else {
        return;
    };
    let world = world.set_up_with(Acknowledge::UpTo, ACK_WAIT);
    let suspect = world.publish_as("one", 0..9);
    let tenants = (2..).map(|number| format!("tenant {number}"));
    let published = tenants.map(|tenant| world.publish_as(&tenant, 100..101));
    let other = published.take(50).find(|partition| *partition > suspect);
    assert!(other.is_some(), "no tenant is of a later partition");
    let written = Written::default();
    let mut job = Job::guarded(&world.settings, suspicion(suspect, singly(), &written));
    let first = job.take(1);
    // By then the messages of all have come.
    job.is_quiet(ACK_WAIT);
    job.settle_all(&first);
    let mut partitions = vec![first[0].partition];
    for _ in 0..2 {
        let parcels = job.take(1);
        partitions.push(parcels[0].partition);
        job.settle_all(&parcels);
    }
    assert!(partitions.contains(&suspect), "{partitions:?}");
    assert!(
        partitions.iter().any(|partition| *partition != suspect),
        "{partitions:?}"
    );
    assert!(job.end().is_none());
}
