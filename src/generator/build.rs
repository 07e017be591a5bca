//! Plans a world from its config: batch after batch until there are enough deliveries.

use super::config::GeneratorConfig;
use super::format::{self, FORMATS};
use super::rng::GeneratorRng;
use super::world::{KnownSince, Person, PlannedBatch, PlannedMessage, SecondAddress, World};

const HOUR: i64 = 3_600_000;
/// Numbers of recipients of transactional mail begin here; those of batches stay below.
const TRANSACTIONAL: u64 = 9_000_000_000;

/// Items drawn at random by weight.
struct WeightedChoice<T> {
    items: Vec<(u64, T)>,
    total: u64,
}

impl<T: Copy> WeightedChoice<T> {
    fn new(weighted: impl IntoIterator<Item = (u64, T)>) -> Self {
        let mut total = 0;
        let items = weighted.into_iter().map(|(weight, item)| {
            total += weight;
            (total, item)
        });
        let items = items.collect();
        Self { items, total }
    }

    fn draw(&self, rng: &mut GeneratorRng) -> Option<T> {
        let at = rng.below(self.total);
        let place = self.items.partition_point(|(upto, _)| *upto <= at);
        self.items.get(place).map(|(_, item)| *item)
    }
}

/// Plans a world step by step.
pub(super) struct Builder {
    pub(super) world: World,
    pub(super) rng: GeneratorRng,
    users: WeightedChoice<u32>,
    providers: WeightedChoice<u8>,
    pub(super) keys: Vec<i64>,
    batch_number: u32,
    transactional: u64,
    call: u32,
}

/// Plans the world of these config.
pub fn build(config: GeneratorConfig) -> World {
    let target = usize::try_from(config.deliveries).unwrap_or(usize::MAX);
    let mut builder = Builder::new(config);
    while builder.world.copies.len() < target {
        builder.batch();
    }
    builder.finish()
}

impl Builder {
    fn new(config: GeneratorConfig) -> Self {
        let users = 0..config.users.max(1);
        let weights = |name: &str| {
            let named = config.providers.iter().filter(|(own, _)| own == name);
            named.map(|(_, weight)| u64::from(*weight)).sum::<u64>()
        };
        let weighted = (0u8..).zip(FORMATS);
        Self {
            rng: GeneratorRng::new(config.seed),
            users: WeightedChoice::new(
                users
                    .clone()
                    .map(|n| (1_000_000_000 / (u64::from(n) + 1), n)),
            ),
            providers: WeightedChoice::new(
                weighted.map(|(at, format)| (weights(format.name()), at)),
            ),
            keys: Vec::new(),
            batch_number: 0,
            transactional: TRANSACTIONAL + u64::from(config.batches_before) * 1_024,
            call: 0,
            world: World {
                users: users.map(|n| format!("u-{n:04}")).collect(),
                config,
                batches: Vec::new(),
                people: Vec::new(),
                messages: Vec::new(),
                events: Vec::new(),
                plans: Vec::new(),
                copies: Vec::new(),
                order: Vec::new(),
            },
        }
    }

    fn provider(&mut self) -> u8 {
        self.providers.draw(&mut self.rng).unwrap_or(0)
    }

    fn batch(&mut self) {
        let provider = self.provider();
        let size = self.batch_size();
        let first_person = self.world.people.len() as u32;
        let first_message = self.world.messages.len() as u32;
        self.open_batch();
        self.people(provider, size);
        self.messages(provider, first_person);
        if let Some(batch) = self.world.batches.last_mut() {
            batch.people = first_person..self.world.people.len() as u32;
            batch.messages = first_message..self.world.messages.len() as u32;
        }
        self.give_total();
        self.plan_events(first_message);
    }

    fn open_batch(&mut self) {
        let config = &self.world.config;
        let transactional = self.rng.chance(config.transactional);
        let starts = config.start_ms + self.rng.between(0, config.span_ms);
        let deadline = self.rng.chance(config.deadlines);
        let given = self.rng.chance(config.sealed_batches) && !transactional;
        let user = if self.first_round() {
            self.batch_number
        } else {
            self.users.draw(&mut self.rng).unwrap_or(0)
        };
        self.batch_number += 1;
        self.world.batches.push(PlannedBatch {
            user,
            number: (!transactional).then(|| config.batches_before.wrapping_add(self.batch_number)),
            given: given.then(|| deadline.then_some(starts + 12 * HOUR)),
            people: 0..0,
            messages: 0..0,
            starts,
        });
    }

    /// Only a row in `batches` can tell the size of a batch whose recipients are not all known at first.
    fn give_total(&mut self) {
        let Some(batch) = self.world.batches.last_mut() else {
            return;
        };
        let people = &self.world.people[batch.people.start as usize..];
        let late = people.iter().any(|person| person.known == KnownSince::Late);
        if late && batch.number.is_some() {
            batch.given.get_or_insert(None);
        }
    }

    /// Every user gets one small batch before any gets a second, so that all of them occur.
    const fn first_round(&self) -> bool {
        (self.batch_number as usize) < self.world.users.len()
    }

    /// Spread evenly over powers of two, and never much more than is still wanted.
    fn batch_size(&mut self) -> u64 {
        let config = &self.world.config;
        let low = u64::from(config.batch_recipients_min.max(1));
        let high = u64::from(config.batch_recipients_max).max(low);
        let wanted = config.deliveries - (self.world.copies.len() as u64).min(config.deliveries);
        let steps = if self.first_round() {
            0
        } else {
            u64::from((high / low).ilog2())
        };
        let scale = low << self.rng.below(steps + 1);
        (scale + self.rng.below(scale))
            .min(high)
            .min(wanted / 3 + 1)
    }

    fn people(&mut self, provider: u8, size: u64) {
        let batch = self.world.batches.len() as u32 - 1;
        let (user, number) = match self.world.batches.last() {
            Some(batch) => (u64::from(batch.user), batch.number),
            None => return,
        };
        let pool = u64::from(self.world.config.batch_recipients_max) * 4 + size;
        let offset = self.rng.below(pool);
        for at in 0..size {
            let number = match number {
                Some(_) => user * pool + (offset + at) % pool,
                None => self.transactional + at,
            };
            let person = self.person(number, batch, provider);
            self.world.people.push(person);
        }
        self.transactional += size;
    }

    fn person(&mut self, number: u64, batch: u32, provider: u8) -> Person {
        let config = &self.world.config;
        let known = if self.rng.chance(config.unknown_recipients) {
            KnownSince::Never
        } else if self.rng.chance(config.late_recipients) {
            KnownSince::Late
        } else {
            KnownSince::Early
        };
        let wants_ids = self.rng.chance(config.payload_ids.min(0.5));
        let in_batch = number < TRANSACTIONAL;
        Person {
            number,
            batch,
            known,
            ids: wants_ids && in_batch && format::of(provider).carries_ids(),
        }
    }

    fn messages(&mut self, provider: u8, first_person: u32) {
        let mut left_in_call = 0;
        let mut part = 0;
        let last = self.world.people.len() as u32;
        for person in first_person..last {
            if left_in_call == 0 {
                let most = format::of(provider).recipients_a_call();
                left_in_call = 1 + self.rng.below(most);
                self.call += 1;
                part = 0;
            }
            self.message(provider, person, person - first_person, part);
            left_in_call -= 1;
            part += 1;
        }
        self.second_messages(first_person..last);
    }

    fn second_messages(&mut self, people: std::ops::Range<u32>) {
        for person in people.clone() {
            if self.rng.chance(self.world.config.second_messages) {
                let provider = self.provider();
                self.call += 1;
                self.message(provider, person, people.end - people.start, 0);
            }
        }
    }

    fn message(&mut self, provider: u8, person: u32, place: u32, part: u32) {
        let Some(batch) = self.world.batches.last() else {
            return;
        };
        let (starts, transactional) = (batch.starts, batch.number.is_none());
        let second_address = self.second_address(provider, person, transactional);
        let later = if transactional {
            self.rng.between(0, self.world.config.span_ms)
        } else {
            i64::from(place) * 20 + self.rng.between(0, 1_000)
        };
        self.world.messages.push(PlannedMessage {
            person,
            second_address,
            provider,
            call: self.call,
            part,
            sent_at: starts + later,
        });
    }

    fn second_address(&mut self, provider: u8, person: u32, transactional: bool) -> SecondAddress {
        let share = self.world.config.shared_messages;
        let ses = format::of(provider).name() == "ses" && !transactional;
        if !ses || !self.rng.chance(share) {
            return SecondAddress::No;
        }
        let early = |at: u32| {
            let person = self.world.people.get(at as usize);
            person.is_some_and(|person| person.known == KnownSince::Early)
        };
        if early(person) && early(person + 1) && self.rng.below(2) == 0 {
            SecondAddress::With(person + 1)
        } else {
            SecondAddress::Archive
        }
    }

    fn finish(mut self) -> World {
        let mut order: Vec<u32> = (0..self.world.copies.len() as u32).collect();
        order.sort_unstable_by_key(|at| (self.keys[*at as usize], *at));
        self.world.order = order;
        self.world
    }
}
