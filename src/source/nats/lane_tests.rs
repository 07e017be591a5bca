use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1);

fn token(sequence: u64, delivery: u64) -> Token {
    Token {
        lane: 0,
        deliveries: 1,
        sequence,
        delivery,
        at: Millis(0),
        pending: 0,
    }
}

/// A lane that got these sequences, none missing.
fn lane(sequences: &[u64]) -> Lane {
    let mut lane = Lane::new(Duration::ZERO);
    lane.heard(&Standing::default(), NOW);
    for (place, sequence) in sequences.iter().enumerate() {
        take(&mut lane, *sequence, place as u64 + 1);
    }
    lane
}

fn take(lane: &mut Lane, sequence: u64, delivery: u64) -> Arrival {
    let reply = Subject::from(format!("{sequence}"));
    lane.arrived(&token(sequence, delivery), reply, NOW)
}

fn names(replies: &[Subject]) -> Vec<u64> {
    replies.iter().map(|reply| reply.parse().unwrap()).collect()
}

#[test]
fn a_message_is_taken_once_and_acknowledged_by_its_latest_reply() {
    let mut lane = lane(&[5, 6, 9]);
    let again = Subject::from("555");
    let arrival = lane.arrived(&token(5, 4), again, NOW);
    assert_eq!((arrival, lane.open()), (Arrival::Known, 3));
    lane.settled(2);
    assert_eq!(names(&lane.each(10)), [555, 6]);
    assert_eq!(lane.sending(2), 2);
    assert_eq!(lane.each(10), []);
    assert_eq!((lane.confirmed(2), lane.confirmed(2)), (2, 0));
    assert_eq!(take(&mut lane, 5, 5), Arrival::New(3));
}

#[test]
fn another_message_of_the_same_sequence_is_noticed() {
    let mut lane = lane(&[5]);
    let other = Token {
        at: Millis(1),
        ..token(5, 2)
    };
    assert_eq!(lane.arrived(&other, "x".into(), NOW), Arrival::Strange);
}

#[test]
fn what_is_not_confirmed_is_sent_again() {
    let mut lane = lane(&[1, 2, 3, 4]);
    lane.settled(3);
    lane.sending(2);
    assert_eq!(lane.unconfirmed(), 2);
    assert_eq!(names(&lane.each(10)), [1, 2, 3]);
    assert_eq!(
        lane.confirmed(3),
        0,
        "nothing was sent that could be confirmed"
    );
    assert!(!lane.is_confirmed());
}

#[test]
fn up_to_waits_for_stragglers() {
    let mut lane = lane(&[10, 11, 3]);
    lane.settled(2);
    assert_eq!(lane.up_to(), None, "3 is open");
    lane.settled(3);
    assert_eq!(lane.up_to(), Some((Subject::from("11"), 3)));
}

#[test]
fn up_to_waits_for_what_was_delivered_and_never_came() {
    let standing = |ack_pending| Standing {
        ack_pending,
        acknowledged: 0,
        delivered: 4,
    };
    let mut lane = lane(&[1, 2]);
    take(&mut lane, 4, 4);
    lane.settled(3);
    assert_eq!(lane.up_to(), None, "delivery 3 is missing");
    lane.heard(&standing(4), 2 * NOW);
    assert_eq!(lane.up_to(), None, "one of the four is not here");
    take(&mut lane, 3, 5);
    lane.heard(&standing(4), NOW);
    assert_eq!(lane.up_to(), None, "the answer is older than the doubt");
    lane.settled(4);
    lane.heard(&standing(4), 2 * NOW);
    assert_eq!(lane.up_to(), Some((Subject::from("4"), 4)));
}

#[test]
fn what_a_dead_reader_held_takes_its_place_before_what_came_first() {
    let standing = |ack_pending| Standing {
        ack_pending,
        acknowledged: 4,
        delivered: 9,
    };
    let mut lane = Lane::new(Duration::ZERO);
    lane.begins_after(3);
    assert_eq!(lane.heard(&standing(2), NOW), 2);
    take(&mut lane, 20, 4);
    assert_eq!(lane.acknowledged(), None);
    take(&mut lane, 5, 5);
    take(&mut lane, 9, 6);
    assert!(!lane.is_settled_before(0));
    assert_eq!(lane.heard(&standing(2), 2 * NOW), 0);
    assert!(lane.is_settled_before(0) && !lane.is_settled_before(1));
    assert_eq!(lane.acknowledged(), Some(5));

    assert_eq!(lane.in_order(), Some(vec![1, 2, 0]));
    assert_eq!(lane.in_order(), None);
    assert_eq!([0, 1, 2].map(|at| lane.sequence(at)), [5, 9, 20]);
    assert_eq!(take(&mut lane, 9, 7), Arrival::Known);
    lane.settled(1);
    assert_eq!(lane.up_to(), Some((Subject::from("5"), 1)));
    lane.sending(1);
    lane.confirmed(1);
    assert_eq!(lane.acknowledged(), Some(9));
    lane.settled(3);
    lane.sending(2);
    lane.confirmed(3);
    assert_eq!(lane.acknowledged(), Some(21));
    assert!(lane.is_empty());
}

#[test]
fn a_first_message_that_follows_the_last_delivery_is_in_no_doubt() {
    let mut lane = Lane::new(Duration::ZERO);
    lane.begins_after(3);
    lane.heard(&Standing::default(), NOW);
    take(&mut lane, 8, 4);
    assert!(!lane.is_in_doubt());
    take(&mut lane, 9, 6);
    assert!(lane.is_in_doubt());
}

#[test]
fn leases_are_renewed_when_they_are_old() {
    let mut lane = lane(&[1, 2, 3]);
    lane.settled(1);
    lane.sending(1);
    assert_eq!(lane.to_renew(NOW * 2, NOW * 2, 10), []);
    assert_eq!(names(&lane.to_renew(NOW * 3, NOW * 2, 1)), [2]);
    assert_eq!(names(&lane.to_renew(NOW * 3, NOW * 2, 10)), [3]);
    assert_eq!(lane.to_renew(NOW * 4, NOW * 2, 10), []);
}

/// One step of a lane's life.
#[derive(Clone, Debug)]
enum Step {
    Deliver,
    Lose,
    Redeliver(usize),
    Settle(u64),
    Acknowledge,
    Confirm,
    Timeout,
    Ask,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        2 => (0usize..20).prop_map(Step::Redeliver),
        3 => (0u64..4).prop_map(Step::Settle),
        3 => Just(Step::Acknowledge),
        2 => Just(Step::Confirm),
        1 => Just(Step::Timeout),
        1 => Just(Step::Ask),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A consumer as the server keeps it, with one policy or the other.
#[derive(Default)]
struct Server {
    last: u64,
    delivery: u64,
    pending: BTreeSet<u64>,
    acknowledged: u64,
}

struct World {
    server: Server,
    lane: Lane,
    order: Vec<u64>,
    settled: BTreeSet<u64>,
    under_way: u64,
    now: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            server: Server::default(),
            lane: Lane::new(Duration::ZERO),
            order: Vec::new(),
            settled: BTreeSet::new(),
            under_way: 0,
            now: Duration::ZERO,
        }
    }

    fn arrive(&mut self, sequence: u64) {
        let reply = Subject::from(format!("{sequence}"));
        let token = token(sequence, self.server.delivery);
        if let Arrival::New(ordinal) = self.lane.arrived(&token, reply, self.now) {
            assert_eq!(ordinal, self.order.len() as u64);
            self.order.push(sequence);
        }
    }

    fn step(&mut self, step: &Step, up_to: bool) {
        self.now += Duration::from_millis(1);
        match step {
            Step::Deliver | Step::Lose => {
                self.server.last += 1;
                self.server.delivery += 1;
                self.server.pending.insert(self.server.last);
                if matches!(step, Step::Deliver) {
                    self.arrive(self.server.last);
                }
            }
            Step::Redeliver(which) => {
                let again = self.server.pending.iter().nth(*which).copied();
                if let Some(again) = again {
                    self.server.delivery += 1;
                    self.arrive(again);
                }
            }
            Step::Settle(count) => {
                let upto = (self.lane.floor + count).min(self.order.len() as u64);
                self.settled.extend(&self.order[..upto as usize]);
                self.lane.settled(upto);
            }
            Step::Acknowledge if up_to => self.acknowledge_up_to(),
            Step::Acknowledge => self.acknowledge_each(),
            Step::Confirm => {
                self.lane.confirmed(self.under_way);
            }
            Step::Timeout => {
                self.lane.unconfirmed();
            }
            Step::Ask => {
                let standing = Standing {
                    ack_pending: self.server.pending.len() as u64,
                    acknowledged: self.server.acknowledged,
                    delivered: self.server.last,
                };
                self.lane.heard(&standing, self.now);
            }
        }
    }

    fn acknowledge_each(&mut self) {
        let replies = names(&self.lane.each(3));
        for sequence in &replies {
            assert!(self.settled.contains(sequence), "{sequence} is open");
            self.server.pending.remove(sequence);
        }
        self.under_way = self.lane.sending(replies.len() as u64);
    }

    fn acknowledge_up_to(&mut self) {
        let Some((reply, count)) = self.lane.up_to() else {
            return;
        };
        let upto: u64 = reply.parse().unwrap();
        for sequence in self.server.pending.range(..=upto) {
            assert!(self.settled.contains(sequence), "{sequence} is not settled");
        }
        self.server.pending.retain(|sequence| *sequence > upto);
        self.server.acknowledged = self.server.acknowledged.max(upto);
        self.under_way = self.lane.sending(count);
    }
}

#[test]
fn a_first_delivery_that_is_lost_is_not_acknowledged_with_the_second() {
    let mut world = World::new();
    for step in [Step::Ask, Step::Lose, Step::Deliver, Step::Settle(1)] {
        world.step(&step, true);
    }
    assert_eq!(world.lane.up_to(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_is_acknowledged_that_is_not_settled(steps in steps(), up_to: bool) {
        let mut world = World::new();
        for step in &steps {
            world.step(step, up_to);
        }
        // Everything that is still waited for comes again, settles, and is acknowledged.
        for again in world.server.pending.clone() {
            world.server.delivery += 1;
            world.arrive(again);
        }
        let all = world.order.len() as u64;
        for step in [Step::Timeout, Step::Ask, Step::Settle(all)] {
            world.step(&step, up_to);
        }
        for _ in 0..=all {
            world.step(&Step::Acknowledge, up_to);
            world.step(&Step::Confirm, up_to);
        }
        prop_assert!(world.server.pending.is_empty() && world.lane.is_confirmed());
        prop_assert!(world.lane.held.is_empty() && world.lane.ordinals.is_empty());
    }
}
