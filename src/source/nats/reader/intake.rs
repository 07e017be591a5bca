//! Messages into parcels.

use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::{Message, Subject};

use super::{Reader, Reading, Work, behind};
use crate::error::{Exit, Fatal};
use crate::event::Origin;
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::message::{self, Address, Fields, FieldsWriter};
use crate::source::nats::partition::Arrival;
use crate::source::nats::pull::Due;
use crate::source::nats::token::Token;
use crate::source::nats::wire::Incoming;
use crate::source::{Record, Records};

/// Most messages of one parcel.
const PARCEL: usize = 512;
/// Most bytes of one parcel (and one message more).
const PARCEL_BYTES: usize = 1 << 20;
/// How long a run waits to grow while there is room for it.
const LINGER: Duration = Duration::from_millis(1);
/// While so many messages or bytes wait here, no more is asked for.
const AHEAD: (usize, usize) = (16 * 1024, 32 << 20);
/// How long a request stands at the server.
const EXPIRES: Duration = Duration::from_secs(10);
/// The status with which nobody answers: the consumer is gone.
const NO_RESPONDERS: u16 = 503;
/// The status of a sign of life.
const IDLE_HEARTBEAT: u16 = 100;
/// How long after a refused request another one is sent.
const REST: Duration = Duration::from_millis(500);

/// Messages of one partition that are not in a parcel yet.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) records: Vec<Record>,
    pub(super) start: u64,
    bytes: usize,
    since: Duration,
}

impl Run {
    pub(super) fn is_due(&self, now: Duration, room: bool) -> bool {
        let full = self.records.len() >= PARCEL || self.bytes >= PARCEL_BYTES;
        full || (room && !self.records.is_empty() && now >= self.since + LINGER)
    }

    /// All of it.
    pub(super) fn cut(&mut self, partition: u32) -> Records {
        let run = std::mem::take(self);
        Records {
            partition,
            start: run.start,
            end: run.start + run.records.len() as u64,
            records: run.records,
            bytes: run.bytes,
            due: None,
        }
    }
}

impl Reader {
    /// Takes everything that came.
    pub(super) fn take(&mut self, batch: &mut Vec<Incoming>) -> Result<(), Fatal> {
        let now = self.now();
        let mut again = 0;
        for message in batch.drain(..) {
            let reply = Subject::from_utf8(message.reply()).ok();
            let token = reply.as_deref().and_then(Token::parse);
            match (token, reply) {
                (Some(token), Some(reply)) => {
                    again += u64::from(token.deliveries > 1);
                    self.delivered(&message, &token, reply, now)?;
                }
                _ => self.answered(&message, now),
            }
        }
        self.metrics.count(Counter::Redelivered, again);
        Ok(())
    }

    fn delivered(
        &mut self,
        message: &Incoming,
        token: &Token,
        reply: Subject,
        now: Duration,
    ) -> Result<(), Fatal> {
        let Some(work) = self.partitions.get_mut(&token.partition) else {
            return Ok(());
        };
        work.pull.delivered();
        work.quiet_since = now;
        let arrival = work.partition.arrived(token, reply, now);
        let is_below = work.partition.is_below(token.sequence);
        let is_known = arrival == Arrival::Known;
        work.missing.arrived(token.deliveries, is_known, is_below);
        let ordinal = match arrival {
            Arrival::New(ordinal) => ordinal,
            Arrival::Known => return Ok(()),
            Arrival::Strange => return Err(another_stream()),
        };
        let skip = self.settings.tokens_before_provider();
        let record = incoming(message, token, token.sequence, skip);
        let bytes = record.bytes();
        if work.run.records.is_empty() {
            work.run.start = ordinal;
            work.run.since = now;
        }
        work.run.bytes += bytes;
        work.run.records.push(record);
        self.waiting.0 += 1;
        self.waiting.1 += bytes;
        Ok(())
    }

    /// An answer that is no message: the end of a request.
    fn answered(&mut self, message: &Incoming, now: Duration) {
        let subject = message.subject();
        let partition = std::str::from_utf8(&subject).ok();
        let partition =
            partition.and_then(|subject| behind(self.line.inbox(), subject)?.parse().ok());
        if let Some(work) = partition.and_then(|partition: u32| self.partitions.get_mut(&partition))
        {
            work.ended(message, now);
        }
    }

    /// Cuts parcels and hands out what there is room for.
    pub(super) fn hand_out(&mut self) {
        if self.feed.is_none() {
            return;
        }
        let (now, room) = (self.now(), self.ready.is_empty());
        for (partition, work) in &mut self.partitions {
            if work.run.is_due(now, room) {
                self.ready.push_back(work.run.cut(*partition));
            }
        }
        let Some(feed) = &mut self.feed else { return };
        while let Some(parcel) = self.ready.pop_front() {
            let weight = (parcel.records.len(), parcel.bytes);
            match feed.try_hand_out(parcel) {
                Ok(None) => {
                    self.waiting.0 -= weight.0;
                    self.waiting.1 -= weight.1;
                }
                Ok(Some(back)) => return self.ready.push_front(back),
                Err(_) => return self.feed = None,
            }
        }
    }

    /// Asks for more where little is under way.
    pub(super) fn ask(&mut self) {
        if self.feed.is_none() {
            return;
        }
        let ahead = self.waiting.0 >= AHEAD.0 || self.waiting.1 >= AHEAD.1;
        if ahead {
            return;
        }
        let now = self.now();
        for (partition, work) in &mut self.partitions {
            let target = self.settings.batch_messages;
            let due = work.pull.due(now, target);
            let Some(due) = due else {
                work.is_asked |= work.pull.is_waiting();
                continue;
            };
            let consumer = self.settings.consumer_of(*partition);
            let stream = &self.settings.stream;
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
            let reply = format!("{}.{partition}", self.line.inbox());
            let request = request(due, self.settings.batch_bytes);
            let asked = failpoint::run(Failpoint::SourceFetch, || {
                let line = &mut self.line;
                line.request(&subject, &reply, &request)
                    .then_some(())
                    .ok_or(())
            });
            if asked.is_err() {
                return;
            }
            if !work.pull.is_waiting() {
                work.quiet_since = now;
            }
            work.pull.sent(due, now + EXPIRES);
            work.is_asked = true;
        }
    }

    /// Whether the job leaves no room, so that nothing is asked for.
    pub(super) fn is_held_back(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Nothing more is handed out: what waits here goes back, so that another reader has it at once.
    pub(super) async fn give_back(&mut self) -> Result<(), Fatal> {
        if self.reading == Reading::On {
            self.reading = Reading::Draining(self.line.leave());
        }
        if self.waiting.0 == 0 {
            return Ok(());
        }
        let starts = self
            .ready
            .drain(..)
            .map(|parcel| (parcel.partition, parcel.start));
        let runs = self.partitions.iter_mut().map(|(partition, work)| {
            let run = std::mem::take(&mut work.run);
            (
                *partition,
                if run.records.is_empty() {
                    u64::MAX
                } else {
                    run.start
                },
            )
        });
        let mut starts: Vec<(u32, u64)> = starts.chain(runs).collect();
        // The first of a partition is where it begins.
        starts.sort_unstable();
        starts.dedup_by_key(|(partition, _)| *partition);
        self.waiting = (0, 0);
        for (partition, start) in starts {
            let replies = self
                .partitions
                .get(&partition)
                .map(|work| work.partition.from(start));
            for reply in replies.unwrap_or_default() {
                self.publish(reply, b"-NAK").await?;
            }
        }
        Ok(())
    }
}

impl Work {
    /// The server ended a request.
    fn ended(&mut self, message: &Incoming, now: Duration) {
        let rest = message.header("Nats-Pending-Messages");
        let rest = rest.and_then(|rest| rest.parse::<usize>().ok());
        match (message.status(), rest) {
            (Some((NO_RESPONDERS, _)), _) => self.pull.reset(now + REST),
            (Some((_, text)), Some(rest)) if text.contains("MaxBytes") => self.pull.too_large(rest),
            (Some(_), Some(rest)) => self.pull.ended(rest),
            (Some((IDLE_HEARTBEAT, _)) | None, _) => {}
            (Some((status, text)), None) => {
                tracing::debug!(status, text, "the server ended a request");
                self.pull.reset(now + REST);
            }
        }
    }
}

fn request(due: Due, bytes_max: usize) -> String {
    let (batch, expires) = (due.messages, EXPIRES.as_nanos());
    match due.bounded {
        true => format!(r#"{{"batch":{batch},"max_bytes":{bytes_max},"expires":{expires}}}"#),
        false => format!(r#"{{"batch":{batch},"expires":{expires}}}"#),
    }
}

/// Hands on what was read as it was read.
fn incoming(message: &Incoming, token: &Token, offset: u64, skip: usize) -> Record {
    let subject = message.subject();
    Record::Message(Box::new(message::Message {
        origin: Origin {
            partition: token.partition,
            offset,
        },
        address: Address::Subject { subject, skip },
        at: Some(token.at),
        deliveries: 0,
        fields: Fields::Lines(message.headers()),
        body: message.payload(),
    }))
}

/// The same of a message of the driver: copies what is ours of its headers.
pub(in crate::source::nats) fn record(
    fields: &mut FieldsWriter,
    message: Message,
    token: &Token,
    offset: u64,
    skip: usize,
) -> Record {
    let subject = fields.keep(message.subject.as_bytes());
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        if let Some(value) = values.first() {
            fields.add(name.as_ref(), value.as_str().as_bytes());
        }
    }
    Record::Message(Box::new(message::Message {
        origin: Origin {
            partition: token.partition,
            offset,
        },
        address: Address::Subject { subject, skip },
        at: Some(token.at),
        deliveries: 0,
        fields: fields.take(),
        body: message.payload,
    }))
}

fn another_stream() -> Fatal {
    Fatal::new(
        Exit::Watchdog,
        "the stream was deleted and made anew while messages of it were open: start again",
    )
}
