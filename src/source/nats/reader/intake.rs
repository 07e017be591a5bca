//! Messages into records.

use std::time::Duration;

use async_nats::Subject;

use super::{Reader, ReaderPhase};
use crate::error::{Exit, Fatal};
use crate::event::Origin;
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::Record;
use crate::source::message::{self, Address, Fields};
use crate::source::nats::ack_subject::Delivered;
use crate::source::nats::held::Receipt;
use crate::source::nats::pull::request_subject;
use crate::source::nats::wire::Incoming;

/// While so many messages or bytes wait here, nothing more is asked for.
const AHEAD: (usize, usize) = (16 * 1024, 32 << 20);

/// Whether a delivery is this member's to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryDecision {
    /// It is held.
    Accepted,
    /// It goes back at once: this member drains.
    Refused,
}

impl Reader {
    /// Receives everything that has arrived.
    pub(super) async fn receive(&mut self, batch: &mut Vec<Incoming>) -> Result<(), Fatal> {
        let now = self.now();
        let mut redelivered = 0;
        for message in batch.drain(..) {
            let reply =
                Subject::from_utf8(message.reply()).unwrap_or_else(|_| Subject::from_static(""));
            let Some(delivered) = Delivered::parse(&reply) else {
                self.request_ended(&message, now);
                continue;
            };
            redelivered += u64::from(delivered.deliveries > 1);
            if self.delivered(&message, &delivered, &reply, now)? == DeliveryDecision::Refused {
                self.publish(reply, b"-NAK").await?;
            }
        }
        self.metrics.count(Counter::Redelivered, redelivered);
        Ok(())
    }

    fn delivered(
        &mut self,
        message: &Incoming,
        delivered: &Delivered<'_>,
        reply: &Subject,
        now: Duration,
    ) -> Result<DeliveryDecision, Fatal> {
        self.observed.record_message(now);
        let names = self.consumers.iter().map(|one| &one.name);
        let index = names.take_while(|name| *name != delivered.consumer).count();
        let Some(consumer) = self.consumers.get_mut(index) else {
            return Ok(DeliveryDecision::Accepted);
        };
        consumer.pull.record_message();
        if self.phase != ReaderPhase::Reading && !self.held.holds(delivered.sequence) {
            return Ok(DeliveryDecision::Refused);
        }
        match self.held.receive(delivered, reply.clone(), index, now) {
            Receipt::New(ordinal) => {
                let skip = self.config.tokens_before_provider();
                let record = record(message, delivered, skip);
                self.receive_buffer.push(ordinal, record, now);
            }
            Receipt::Held => {}
            Receipt::OtherStream => return Err(stream_made_anew()),
        }
        Ok(DeliveryDecision::Accepted)
    }

    /// An answer that is not a message: the end of a request.
    fn request_ended(&mut self, message: &Incoming, now: Duration) {
        let subject = message.subject();
        let index = std::str::from_utf8(&subject).ok().and_then(|subject| {
            let index = subject.strip_prefix(self.line.inbox())?.strip_prefix('.')?;
            index.parse::<usize>().ok()
        });
        if let Some(consumer) = index.and_then(|index| self.consumers.get_mut(index)) {
            consumer.pull.record_status(message, now);
        }
    }

    /// Hands out what there is room for.
    pub(super) fn hand_out(&mut self) {
        let now = self.now();
        let Some(sender) = &mut self.records else {
            return;
        };
        if self.receive_buffer.hand_out(sender, now).is_err() {
            self.records = None;
        }
    }

    /// Asks for more messages, as far as this member may hold more; for none while the state store is out.
    pub(super) fn request(&mut self) {
        let is_ahead =
            self.receive_buffer.messages() >= AHEAD.0 || self.receive_buffer.bytes() >= AHEAD.1;
        if self.records.is_none() || is_ahead || self.state_breaker.is_open() {
            return;
        }
        let now = self.now();
        let asked = self.consumers.iter().map(|one| one.pull.outstanding(now));
        let mut room = self
            .held_max()
            .saturating_sub(self.held.len() + asked.sum::<usize>());
        let share = self.config.batch_messages.min(self.held_max() / 4).max(1);
        // Each turn begins with another consumer, so that a backlog in some partitions does not starve the rest.
        self.first_asked = self.first_asked.wrapping_add(1);
        let first = self.first_asked % self.consumers.len().max(1);
        let (before, from) = self.consumers.split_at_mut(first);
        for (index, consumer) in (first..).zip(from).chain((0..).zip(before)) {
            // Many small requests near the limit would cost more than they bring.
            let target = if room >= share { share } else { 0 };
            let Some(request) = consumer.pull.next_request(now, target) else {
                continue;
            };
            room -= request.messages.min(room);
            let subject = request_subject(&self.config.stream, &consumer.name);
            let reply = format!("{}.{index}", self.line.inbox());
            let payload = request.payload(self.config.batch_bytes);
            let line = &mut self.line;
            let sent = failpoint::run(Failpoint::SourceFetch, || {
                let is_sent = line.request(&subject, &reply, &payload);
                is_sent.then_some(()).ok_or(())
            });
            if sent.is_err() {
                consumer.pull.reset(now);
                return;
            }
        }
    }

    /// How many messages this member may hold: what the job may have in flight, and a quarter of it that waits here or is being
    /// acknowledged.
    fn held_max(&self) -> usize {
        let in_flight = self.config.in_flight_events_max;
        in_flight.saturating_add(in_flight / 4).max(4)
    }

    /// Nothing more is handed out: what waits here goes back, so that another member gets it at once.
    pub(super) async fn give_back(&mut self) -> Result<(), Fatal> {
        if self.phase == ReaderPhase::Reading {
            self.phase = ReaderPhase::Draining(self.line.cancel());
        }
        let Some(from) = self.receive_buffer.clear() else {
            return Ok(());
        };
        for subject in self.held.give_back(from) {
            self.publish(subject, b"-NAK").await?;
        }
        Ok(())
    }
}

/// The record of a message. Its origin is the message's sequence in the stream.
pub(in crate::source::nats) fn record(
    message: &Incoming,
    delivered: &Delivered<'_>,
    skip: usize,
) -> Record {
    let subject = message.subject();
    Record::Message(Box::new(message::Message {
        origin: Origin {
            partition: 0,
            offset: delivered.sequence,
        },
        address: Address::Subject { subject, skip },
        at: Some(delivered.taken_at()),
        deliveries: u32::try_from(delivered.deliveries).unwrap_or(u32::MAX),
        fields: Fields::Lines(message.headers()),
        body: message.payload(),
    }))
}

pub(super) fn stream_made_anew() -> Fatal {
    Fatal::new(
        Exit::Internal,
        "the stream was deleted and made anew while messages of it were open: start again",
    )
}
