//! Plans the requests that tell of what happened: what travels together, how often it is sent and when it arrives.

use super::build::Builder;
use super::format::{self, Carrier, FORMATS};
use super::life;
use super::world::{Act, Content, Copy, Happening, Shared, Shipment};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Events further apart do not travel in one array.
const ARRAY_SPAN_MS: i64 = 30_000;

impl Builder {
    /// Lives the messages from that one on, and ships what happens to them.
    pub(super) fn happenings(&mut self, first_message: u32) {
        let mut all = Vec::new();
        let mut life = Vec::with_capacity(16);
        let rates = self.world.settings.rates;
        for number in first_message..self.world.messages.len() as u32 {
            let message = self.world.messages[number as usize];
            let format = format::of(message.provider);
            life::live(
                &mut self.dice,
                &rates,
                format,
                number,
                message.sent_at,
                &mut life,
            );
            let alone = message.shared == Shared::No;
            let told = life
                .iter()
                .filter(|(act, _)| alone || !matches!(act, Act::Unsubscribed | Act::Other));
            all.extend(told.map(|(act, at)| (message.provider, *at, number, *act)));
        }
        all.sort_unstable();
        self.ship(&all);
    }

    fn ship(&mut self, all: &[(u8, i64, u32, Act)]) {
        let mut rest = all;
        while let Some((provider, at, ..)) = rest.first().copied() {
            let most = match format::of(provider).carrier() {
                Carrier::Single | Carrier::Form => 1,
                Carrier::Array | Carrier::FormArray => self.array_events(),
            };
            let together =
                |next: &&(u8, i64, u32, Act)| next.0 == provider && next.1 - at <= ARRAY_SPAN_MS;
            let count = rest.iter().take(most).take_while(together).count().max(1);
            let (these, others) = rest.split_at(count);
            self.shipment(provider, these);
            rest = others;
        }
    }

    /// How many events the next array holds at most.
    fn array_events(&mut self) -> usize {
        1 + self.dice.below(self.world.settings.array_events_max.max(1)) as usize
    }

    fn shipment(&mut self, provider: u8, events: &[(u8, i64, u32, Act)]) {
        let first = self.world.happenings.len() as u32;
        let array = matches!(
            format::of(provider).carrier(),
            Carrier::Array | Carrier::FormArray
        );
        let bad = (array && self.dice.chance(self.world.settings.bad_elements))
            .then(|| self.dice.below(events.len() as u64 + 1) as u16);
        let happenings = events
            .iter()
            .map(|&(_, at, message, act)| Happening { message, act, at });
        self.world.happenings.extend(happenings);
        let count = events.len() as u16;
        let at = events.last().map_or(0, |event| event.1);
        self.send(Content::Events { first, count, bad }, provider, at);
        self.noise(provider, at);
    }

    /// What comes in between: bodies and lines that cannot be read, and messages without events.
    fn noise(&mut self, provider: u8, at: i64) {
        let settings = &self.world.settings;
        let noise = [
            (settings.malformed_bodies, Content::BadBody),
            (settings.malformed_lines, Content::BadLine),
            (settings.control_messages, Content::Control),
        ];
        for (share, content) in noise {
            if self.dice.chance(share) {
                self.send(content, self.able(content, provider), at);
            }
        }
    }

    /// The provider, or one that can carry such a thing: forms are never cut off, and not all of them ping.
    fn able(&self, content: Content, provider: u8) -> u8 {
        let format = format::of(provider);
        let able = match content {
            Content::Control => format.control(0, &mut Vec::new()),
            Content::BadBody => !matches!(format.carrier(), Carrier::Form | Carrier::FormArray),
            _ => true,
        };
        let sparkpost = FORMATS
            .iter()
            .position(|format| format.name() == "sparkpost");
        match able {
            true => provider,
            false => sparkpost.unwrap_or(0) as u8,
        }
    }

    fn send(&mut self, content: Content, provider: u8, at: i64) {
        let settings = &self.world.settings;
        let (disorder, late, duplicate, retry) = (
            settings.disorder_ms,
            settings.late_events,
            settings.duplicates,
            settings.retries,
        );
        let copies = self.world.copies.len() as u32;
        let mut received_at = at + self.dice.between(200, 5_000);
        if self.dice.chance(late) {
            received_at += self.dice.between(HOUR, 24 * HOUR);
        }
        self.copy(received_at, disorder);
        if self.dice.chance(duplicate) {
            let again = received_at + self.dice.between(1_000, 2 * MINUTE);
            self.copy(again, disorder);
        }
        if self.dice.chance(retry) {
            let delay = [5, 10, 30, 120][self.dice.below(4) as usize];
            let again = received_at + delay * MINUTE + self.dice.between(0, 5_000);
            self.copy(again, disorder);
        }
        self.world.shipments.push(Shipment {
            content,
            batch: self.world.batches.len() as u32 - 1,
            provider,
            copies,
            copy_count: (self.world.copies.len() as u32 - copies) as u8,
        });
    }

    fn copy(&mut self, received_at: i64, disorder_ms: i64) {
        self.keys
            .push(received_at + self.dice.between(0, disorder_ms));
        self.world.copies.push(Copy {
            shipment: self.world.shipments.len() as u32,
            received_at,
        });
    }
}
