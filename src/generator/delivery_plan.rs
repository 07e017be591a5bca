//! Plans the deliveries: which events travel together, how often each delivery is sent and when it arrives.

use super::build::Builder;
use super::format::{self, BodyFormat, FORMATS};
use super::lifecycle::lifecycle;
use super::world::{
    Action, DeliveryContent, DeliveryCopy, DeliveryPlan, PlannedEvent, SecondAddress,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Events further apart do not travel in one array.
const ARRAY_SPAN_MS: i64 = 30_000;

impl Builder {
    /// Plans the lifecycles of the messages from `first_message` on, and the deliveries that carry their events.
    pub(super) fn plan_events(&mut self, first_message: u32) {
        let mut all = Vec::new();
        let mut steps = Vec::with_capacity(16);
        let rates = self.world.config.rates;
        for number in first_message..self.world.messages.len() as u32 {
            let message = self.world.messages[number as usize];
            let format = format::of(message.provider);
            lifecycle(
                &mut self.rng,
                &rates,
                format,
                number,
                message.sent_at,
                &mut steps,
            );
            let alone = message.second_address == SecondAddress::No;
            let sent = steps.iter().filter(|(action, _)| {
                alone || !matches!(action, Action::Unsubscribed | Action::Other)
            });
            all.extend(sent.map(|(action, at)| (message.provider, *at, number, *action)));
        }
        all.sort_unstable();
        self.plan_deliveries(&all);
    }

    fn plan_deliveries(&mut self, all: &[(u8, i64, u32, Action)]) {
        let mut rest = all;
        while let Some((provider, at, ..)) = rest.first().copied() {
            let most = match format::of(provider).body_format() {
                BodyFormat::Single | BodyFormat::Form => 1,
                BodyFormat::Array | BodyFormat::FormArray => self.array_events(),
            };
            let together =
                |next: &&(u8, i64, u32, Action)| next.0 == provider && next.1 - at <= ARRAY_SPAN_MS;
            let count = rest.iter().take(most).take_while(together).count().max(1);
            let (these, others) = rest.split_at(count);
            self.plan_delivery(provider, these);
            rest = others;
        }
    }

    /// How many events the next array holds at most.
    fn array_events(&mut self) -> usize {
        1 + self.rng.below(self.world.config.array_events_max.max(1)) as usize
    }

    fn plan_delivery(&mut self, provider: u8, events: &[(u8, i64, u32, Action)]) {
        let first = self.world.events.len() as u32;
        let array = matches!(
            format::of(provider).body_format(),
            BodyFormat::Array | BodyFormat::FormArray
        );
        let bad = (array && self.rng.chance(self.world.config.bad_elements))
            .then(|| self.rng.below(events.len() as u64 + 1) as u16);
        let planned = events.iter().map(|&(_, at, message, action)| PlannedEvent {
            message,
            action,
            at,
        });
        self.world.events.extend(planned);
        let count = events.len() as u16;
        let at = events.last().map_or(0, |event| event.1);
        self.plan_copies(DeliveryContent::Events { first, count, bad }, provider, at);
        self.noise(provider, at);
    }

    /// Deliveries that carry no event: bodies and lines that cannot be read, and control messages.
    fn noise(&mut self, provider: u8, at: i64) {
        let config = &self.world.config;
        let noise = [
            (config.malformed_bodies, DeliveryContent::BadBody),
            (config.malformed_lines, DeliveryContent::BadLine),
            (config.control_messages, DeliveryContent::Control),
        ];
        for (share, content) in noise {
            if self.rng.chance(share) {
                self.plan_copies(content, self.provider_for(content, provider), at);
            }
        }
    }

    /// The provider, or SparkPost where it cannot send such a body: forms are never cut off, and not all providers ping.
    fn provider_for(&self, content: DeliveryContent, provider: u8) -> u8 {
        let format = format::of(provider);
        let able = match content {
            DeliveryContent::Control => format.control(0, &mut Vec::new()),
            DeliveryContent::BadBody => !matches!(
                format.body_format(),
                BodyFormat::Form | BodyFormat::FormArray
            ),
            _ => true,
        };
        let sparkpost = FORMATS
            .iter()
            .position(|format| format.name() == "sparkpost");
        if able {
            provider
        } else {
            sparkpost.unwrap_or(0) as u8
        }
    }

    fn plan_copies(&mut self, content: DeliveryContent, provider: u8, at: i64) {
        let config = &self.world.config;
        let (disorder, late, duplicate, retry) = (
            config.disorder_ms,
            config.late_events,
            config.duplicates,
            config.retries,
        );
        let copies = self.world.copies.len() as u32;
        let mut received_at = at + self.rng.between(200, 5_000);
        if self.rng.chance(late) {
            received_at += self.rng.between(HOUR, 24 * HOUR);
        }
        self.copy(received_at, disorder);
        if self.rng.chance(duplicate) {
            let again = received_at + self.rng.between(1_000, 2 * MINUTE);
            self.copy(again, disorder);
        }
        if self.rng.chance(retry) {
            let delay = [5, 10, 30, 120][self.rng.below(4) as usize];
            let again = received_at + delay * MINUTE + self.rng.between(0, 5_000);
            self.copy(again, disorder);
        }
        self.world.plans.push(DeliveryPlan {
            content,
            batch: self.world.batches.len() as u32 - 1,
            provider,
            copies,
            copy_count: (self.world.copies.len() as u32 - copies) as u8,
        });
    }

    fn copy(&mut self, received_at: i64, disorder_ms: i64) {
        self.keys
            .push(received_at + self.rng.between(0, disorder_ms));
        self.world.copies.push(DeliveryCopy {
            plan: self.world.plans.len() as u32,
            received_at,
        });
    }
}
