//! Any life of a partition, against a consumer as the server keeps it, as a property.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{names, reply, token};
use super::*;

/// One step of a partition's life.
#[derive(Clone, Debug)]
enum Step {
    Deliver,
    Lose,
    Redeliver(usize),
    Settle(u64),
    Acknowledge,
    Confirm,
    Timeout,
    /// A question is asked, and the server answers it.
    Ask,
    /// The answer is heard; deliveries may have come since.
    Hear,
    /// The consumer is deleted and made anew, and delivers from the start again.
    Anew,
    /// The server writes down what it knows.
    Keep,
    /// The server looks whether anything is open.
    Timer,
    /// The server dies, and goes on with what it wrote down last.
    Forget,
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
        2 => Just(Step::Ask),
        2 => Just(Step::Hear),
        1 => Just(Step::Anew),
        1 => Just(Step::Keep),
        1 => Just(Step::Forget),
        2 => Just(Step::Timer),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A consumer as the server keeps it, with one policy or the other.
#[derive(Clone, Default)]
struct Server {
    last: u64,
    delivery: u64,
    pending: BTreeSet<u64>,
    acknowledged: u64,
    acknowledged_delivery: u64,
}

impl Server {
    /// What nats-server does with an acknowledgement where the policy is to acknowledge all; whether it answers.
    fn acknowledge_all(&mut self, token: &Token) -> bool {
        if token.sequence > self.last {
            return false;
        }
        if token.delivery > self.acknowledged_delivery && token.sequence > self.acknowledged {
            assert!(token.delivery <= self.delivery, "{token:?} is no delivery");
            self.acknowledged = token.sequence;
            self.acknowledged_delivery = token.delivery;
            self.pending.retain(|sequence| *sequence > token.sequence);
        }
        true
    }

    fn standing(&self) -> Standing {
        Standing {
            ack_pending: self.pending.len() as u64,
            acknowledged: self.acknowledged,
            acknowledged_delivery: self.acknowledged_delivery,
            delivered: self.last,
            deliveries: self.delivery,
        }
    }

    fn deliver(&mut self) -> u64 {
        self.last += 1;
        self.delivery += 1;
        self.pending.insert(self.last);
        self.last
    }
}

struct World {
    server: Server,
    kept: Server,
    answer: Option<(Standing, Duration)>,
    partition: Partition,
    order: Vec<u64>,
    settled: BTreeSet<u64>,
    under_way: u64,
    now: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            server: Server::default(),
            kept: Server::default(),
            answer: None,
            partition: Partition::new(Duration::ZERO),
            order: Vec::new(),
            settled: BTreeSet::new(),
            under_way: 0,
            now: Duration::ZERO,
        }
    }

    fn arrive(&mut self, sequence: u64) {
        let reply = reply(sequence, self.server.delivery);
        let token = token(sequence, self.server.delivery);
        if let Arrival::New(ordinal) = self.partition.arrived(&token, reply, self.now) {
            assert_eq!(ordinal, self.order.len() as u64);
            self.order.push(sequence);
        }
    }

    fn highest(&self) -> u64 {
        self.order.iter().copied().max().unwrap_or(0)
    }

    fn step(&mut self, step: &Step, up_to: bool) {
        self.now += Duration::from_millis(1);
        match step {
            Step::Deliver | Step::Lose => {
                let sequence = self.server.deliver();
                if matches!(step, Step::Deliver) {
                    self.arrive(sequence);
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
                let upto = (self.partition.floor + count).min(self.order.len() as u64);
                self.settled.extend(&self.order[..upto as usize]);
                self.partition.settled(upto);
            }
            Step::Acknowledge if up_to => self.acknowledge_up_to(),
            Step::Acknowledge => self.acknowledge_each(),
            Step::Confirm => {
                self.partition.confirmed(self.under_way);
            }
            Step::Timeout => {
                self.partition.unconfirmed();
            }
            Step::Anew => {
                self.server = Server::default();
                self.kept = Server::default();
                let sequence = self.server.deliver();
                self.arrive(sequence);
            }
            Step::Timer if self.server.pending.is_empty() => {
                self.server.acknowledged = self.server.last;
                self.server.acknowledged_delivery = self.server.delivery;
            }
            Step::Timer => {}
            Step::Keep => self.kept = self.server.clone(),
            Step::Forget => {
                self.server = self.kept.clone();
                self.partition.reconnected(self.now);
                self.partition.unconfirmed();
            }
            Step::Ask => self.answer = Some((self.server.standing(), self.now)),
            Step::Hear => {
                if let Some((standing, asked)) = self.answer.take() {
                    self.partition.heard(&standing, asked, true);
                }
            }
        }
    }

    fn acknowledge_each(&mut self) {
        let replies = names(&self.partition.each(3));
        for sequence in &replies {
            assert!(self.settled.contains(sequence), "{sequence} is open");
            self.server.pending.remove(sequence);
        }
        self.under_way = self.partition.sending(replies.len() as u64);
    }

    fn acknowledge_up_to(&mut self) {
        let Some((reply, count)) = self.partition.up_to() else {
            return;
        };
        let token = Token::parse(&reply).unwrap();
        for sequence in self.server.pending.range(..=token.sequence) {
            assert!(self.settled.contains(sequence), "{sequence} is not settled");
        }
        if !self.server.acknowledge_all(&token) {
            return;
        }
        let passed_over = self.server.pending.range(..=token.sequence).count();
        assert_eq!(passed_over, 0, "{token:?} was passed over");
        self.under_way = self.partition.sending(count);
    }
}

#[test]
fn a_first_delivery_that_is_lost_is_not_acknowledged_with_the_second() {
    let mut world = World::new();
    let ask = [Step::Ask, Step::Hear];
    for step in ask
        .into_iter()
        .chain([Step::Lose, Step::Deliver, Step::Settle(1)])
    {
        world.step(&step, true);
    }
    assert_eq!(world.partition.up_to(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_is_acknowledged_that_is_not_settled(steps in steps(), up_to: bool) {
        let mut world = World::new();
        for step in &steps {
            world.step(step, up_to);
        }
        // Everything comes that came before, settles, and is acknowledged.
        while world.server.last < world.highest() {
            world.step(&Step::Deliver, up_to);
        }
        for again in world.server.pending.clone() {
            world.server.delivery += 1;
            world.arrive(again);
        }
        let all = world.order.len() as u64;
        for step in [Step::Timeout, Step::Ask, Step::Hear, Step::Settle(all)] {
            world.step(&step, up_to);
        }
        for _ in 0..=all {
            world.step(&Step::Acknowledge, up_to);
            world.step(&Step::Confirm, up_to);
        }
        prop_assert!(world.server.pending.is_empty() && world.partition.is_confirmed());
        prop_assert!(world.partition.held.is_empty() && world.partition.ordinals.is_empty());
    }
}
