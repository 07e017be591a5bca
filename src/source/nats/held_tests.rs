//! What is held, against a plain list that is searched for everything.

use super::*;
use proptest::prelude::*;

const EVERY: Duration = Duration::from_millis(10);
const AGE_MAX: Duration = Duration::from_millis(50);

/// A message as the list knows it.
#[derive(Clone, Debug)]
struct Known {
    sequence: u64,
    ack: String,
    received: u64,
    extended: u64,
    is_committed: bool,
}

/// The held messages in the order of their ordinals; the ordinal of the first is `first`.
#[derive(Debug, Default)]
struct Model {
    all: Vec<Known>,
    handed: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Receive(u64),
    Release(u64),
    Forget(usize),
    GiveBack(u64),
    Extend,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..30u64).prop_map(Step::Receive),
        2 => (0..8u64).prop_map(Step::Release),
        2 => (0..8usize).prop_map(Step::Forget),
        1 => (0..4u64).prop_map(Step::GiveBack),
        2 => Just(Step::Extend),
        2 => (1..25u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

fn delivered(sequence: u64) -> Delivered<'static> {
    Delivered {
        consumer: "c",
        deliveries: 1,
        sequence,
        delivery: 1,
        taken_nanos: 1_000 + sequence.cast_signed(),
        pending: 0,
    }
}

fn texts(subjects: Vec<Subject>) -> Vec<String> {
    subjects.iter().map(ToString::to_string).collect()
}

impl Model {
    fn open(&self) -> usize {
        self.all.iter().filter(|one| !one.is_committed).count()
    }

    fn receive(&mut self, sequence: u64, ack: &str, now: u64) -> Receipt {
        if let Some(known) = self.all.iter_mut().find(|one| one.sequence == sequence) {
            known.ack = ack.to_owned();
            (known.received, known.extended) = (now, now);
            return Receipt::Held;
        }
        self.all.push(Known {
            sequence,
            ack: ack.to_owned(),
            received: now,
            extended: now,
            is_committed: false,
        });
        self.handed += 1;
        Receipt::New(self.handed - 1)
    }

    fn release(&mut self, count: usize) -> Vec<u64> {
        let open = self.all.iter_mut().filter(|one| !one.is_committed);
        let released = open.take(count).map(|one| {
            one.is_committed = true;
            one.sequence
        });
        released.collect()
    }

    fn give_back(&mut self, count: usize) -> Vec<String> {
        let from = self.all.len() - count;
        self.handed -= count as u64;
        self.all
            .split_off(from)
            .into_iter()
            .map(|one| one.ack)
            .collect()
    }

    fn extend(&mut self, now: u64) -> Vec<String> {
        let (every, age_max) = (EVERY.as_millis() as u64, AGE_MAX.as_millis() as u64);
        let due = self.all.iter_mut().filter(|one| {
            !one.is_committed && now >= one.extended + every && now < one.received + age_max
        });
        let mut due: Vec<String> = due
            .map(|one| {
                one.extended = now;
                one.ack.clone()
            })
            .collect();
        due.sort();
        due
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn held_messages_equal_a_plain_list(steps in steps()) {
        let (mut held, mut model, mut now) = (HeldMessages::default(), Model::default(), 0_u64);
        for (number, step) in steps.into_iter().enumerate() {
            let at = Duration::from_millis(now);
            match step {
                Step::Receive(sequence) => {
                    let ack = format!("ack.{number}");
                    let receipt = held.receive(&delivered(sequence), ack.as_str().into(), 0, at);
                    prop_assert_eq!(receipt, model.receive(sequence, &ack, now));
                }
                Step::Release(count) => {
                    let count = count.min(model.open() as u64);
                    let upto = model.handed - model.open() as u64 + count;
                    let released = held.release(upto).into_iter().map(|one| one.sequence);
                    prop_assert_eq!(released.collect::<Vec<_>>(), model.release(usize::try_from(count).unwrap()));
                }
                Step::Forget(which) => {
                    let committed = model.all.iter().position(|one| one.is_committed);
                    if let Some(place) = committed.filter(|_| which > 2) {
                        held.forget(model.all.remove(place).sequence);
                    }
                }
                Step::GiveBack(count) => {
                    let count = usize::try_from(count).unwrap().min(model.open());
                    let from = model.handed - count as u64;
                    prop_assert_eq!(texts(held.give_back(from)), model.give_back(count));
                }
                Step::Extend => {
                    let mut extended = texts(held.extend_leases(at, EVERY, AGE_MAX, usize::MAX));
                    extended.sort();
                    prop_assert_eq!(extended, model.extend(now));
                }
                Step::Wait(millis) => now += millis,
            }
            prop_assert_eq!(held.len(), model.all.len());
            for known in &model.all {
                let ack = held.ack_subject(known.sequence).map(ToString::to_string);
                prop_assert_eq!(ack.as_ref(), Some(&known.ack));
            }
        }
    }
}

#[test]
fn a_commit_beyond_what_is_held_releases_what_is_held() {
    let mut held = HeldMessages::default();
    let receipt = held.receive(&delivered(9), "a".into(), 3, Duration::ZERO);
    assert_eq!(receipt, Receipt::New(0));
    let expected = Committed {
        sequence: 9,
        consumer: 3,
    };
    assert_eq!(held.release(u64::MAX), [expected]);
    assert_eq!(held.release(u64::MAX), []);
    assert_eq!(held.len(), 1, "until the server confirms");
}

#[test]
fn another_message_under_a_held_sequence_is_of_another_stream() {
    let mut held = HeldMessages::default();
    held.receive(&delivered(9), "a".into(), 0, Duration::ZERO);
    let other = Delivered {
        taken_nanos: 5,
        ..delivered(9)
    };
    let receipt = held.receive(&other, "b".into(), 0, Duration::ZERO);
    assert_eq!(receipt, Receipt::OtherStream);
}

#[test]
fn leases_are_extended_in_portions() {
    let mut held = HeldMessages::default();
    for sequence in 0..10 {
        held.receive(&delivered(sequence), "a".into(), 0, Duration::ZERO);
    }
    let mut extended = |limit| held.extend_leases(EVERY, EVERY, AGE_MAX, limit).len();
    assert_eq!((extended(4), extended(4), extended(4)), (4, 4, 2));
}
