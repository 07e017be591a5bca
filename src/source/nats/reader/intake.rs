//! Messages into parcels.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_util::Stream;

use super::{Reader, Reading, Work, behind, lost};
use crate::error::{Exit, Fatal};
use crate::event::Origin;
use crate::source::message::{self, Address, FieldsWriter};
use crate::source::nats::lane::Arrival;
use crate::source::nats::pull::Due;
use crate::source::nats::token::Token;
use crate::source::{Parcel, Record};
use crate::tally::Counter;

/// Most messages taken in one turn.
const BATCH: usize = 4096;
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
/// How long after a refused request another one is sent.
const REST: Duration = Duration::from_millis(500);

/// Messages of one lane that are not in a parcel yet.
#[derive(Debug, Default)]
pub(super) struct Run {
    records: Vec<Record>,
    start: u64,
    bytes: usize,
    since: Duration,
}

impl Run {
    fn is_due(&self, now: Duration, room: bool) -> bool {
        let full = self.records.len() >= PARCEL || self.bytes >= PARCEL_BYTES;
        full || (room && !self.records.is_empty() && now >= self.since + LINGER)
    }

    fn cut(&mut self, lane: u32) -> Parcel {
        let run = std::mem::take(self);
        Parcel {
            lane,
            start: run.start,
            end: run.start + run.records.len() as u64,
            records: run.records,
            bytes: run.bytes,
            due: None,
        }
    }
}

/// Waits for messages and takes all that came; false if none will come any more. What it took is not lost when it is dropped.
pub(in crate::source::nats) async fn next_batch(
    subscriber: &mut Subscriber,
    batch: &mut Vec<Message>,
) -> bool {
    let all = poll_fn(|context| {
        while batch.len() < BATCH {
            match Pin::new(&mut *subscriber).poll_next(context) {
                Poll::Ready(Some(message)) => batch.push(message),
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    });
    tokio::task::unconstrained(all).await
}

impl Reader {
    /// Takes everything that came.
    pub(super) fn take(&mut self, batch: &mut Vec<Message>) -> Result<(), Fatal> {
        let now = self.now();
        let mut again = 0;
        for message in batch.drain(..) {
            let reply = message.reply.clone();
            let token = reply.as_ref().and_then(|reply| Token::parse(reply));
            match (token, reply) {
                (Some(token), Some(reply)) => {
                    again += u64::from(token.deliveries > 1);
                    self.delivered(message, &token, reply, now)?;
                }
                _ => self.answered(&message, now),
            }
        }
        self.tally.count(Counter::Redelivered, again);
        Ok(())
    }

    fn delivered(
        &mut self,
        message: Message,
        token: &Token,
        reply: Subject,
        now: Duration,
    ) -> Result<(), Fatal> {
        let Some(work) = self.lanes.get_mut(&token.lane) else {
            return Ok(());
        };
        work.pull.delivered();
        work.quiet_since = now;
        let ordinal = match work.lane.arrived(token, reply, now) {
            Arrival::New(ordinal) => ordinal,
            Arrival::Known => return Ok(()),
            Arrival::Strange => return Err(another_stream()),
        };
        let skip = self.settings.tokens_before_provider();
        let record = record(&mut self.fields, message, token, ordinal, skip);
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

    /// An answer that is no message: the end of a request, or of an acknowledgement.
    fn answered(&mut self, message: &Message, now: Duration) {
        if let Some(rest) = behind(&self.inboxes.acks.0, message) {
            let confirmed = rest.split_once('.').and_then(|(lane, upto)| {
                Some((lane.parse::<u32>().ok()?, upto.parse::<u64>().ok()?))
            });
            if let Some((lane, upto)) = confirmed {
                self.confirmed(lane, upto, message.status);
            }
            return;
        }
        let lane = behind(&self.inboxes.pulls.0, message).and_then(|lane| lane.parse().ok());
        if let Some(work) = lane.and_then(|lane: u32| self.lanes.get_mut(&lane)) {
            work.ended(message, now);
        }
    }

    /// Cuts parcels and hands out what there is room for.
    pub(super) fn hand_out(&mut self) {
        let now = self.now();
        let room = self.ready.is_empty();
        for (lane, work) in &mut self.lanes {
            if work.run.is_due(now, room) {
                self.ready.push_back(work.run.cut(*lane));
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
    pub(super) async fn ask(&mut self) -> Result<(), Fatal> {
        let ahead = self.waiting.0 >= AHEAD.0 || self.waiting.1 >= AHEAD.1;
        if self.feed.is_none() || ahead {
            return Ok(());
        }
        let now = self.now();
        for (lane, work) in &mut self.lanes {
            let Some(due) = work.pull.due(now, self.settings.batch_messages) else {
                continue;
            };
            let consumer = self.settings.consumer_of(*lane);
            let stream = &self.settings.stream;
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
            let reply = format!("{}.{lane}", self.inboxes.pulls.0);
            let request = request(due, self.settings.batch_bytes);
            let sent = self
                .client
                .publish_with_reply(subject, reply, request.into());
            sent.await.map_err(|error| lost(&error))?;
            if !work.pull.is_waiting() {
                work.quiet_since = now;
            }
            work.pull.sent(due, now + EXPIRES);
        }
        Ok(())
    }

    /// Whether the job leaves no room, so that nothing is asked for.
    pub(super) fn is_held_back(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Nothing more is handed out: what waits here goes back, so that another reader has it at once.
    pub(super) async fn give_back(&mut self) -> Result<(), Fatal> {
        if self.reading == Reading::On {
            self.reading = Reading::Draining;
            let drained = self.inboxes.pulls.1.drain().await;
            drained.map_err(|error| lost(&error))?;
        }
        if self.waiting.0 == 0 {
            return Ok(());
        }
        let starts = self
            .ready
            .drain(..)
            .map(|parcel| (parcel.lane, parcel.start));
        let runs = self.lanes.iter_mut().map(|(lane, work)| {
            let run = std::mem::take(&mut work.run);
            (
                *lane,
                if run.records.is_empty() {
                    u64::MAX
                } else {
                    run.start
                },
            )
        });
        let mut starts: Vec<(u32, u64)> = starts.chain(runs).collect();
        // The first of a lane is where it begins.
        starts.sort_unstable();
        starts.dedup_by_key(|(lane, _)| *lane);
        self.waiting = (0, 0);
        for (lane, start) in starts {
            let replies = self.lanes.get(&lane).map(|work| work.lane.from(start));
            for reply in replies.unwrap_or_default() {
                self.publish(reply, b"-NAK").await?;
            }
        }
        Ok(())
    }
}

impl Work {
    /// The server ended a request.
    fn ended(&mut self, message: &Message, now: Duration) {
        let rest = message.headers.as_ref().and_then(pending_messages);
        let text = message.description.as_deref().unwrap_or_default();
        match (message.status, rest) {
            (Some(StatusCode::NO_RESPONDERS), _) => self.pull.reset(now + REST),
            (Some(_), Some(rest)) if text.contains("MaxBytes") => self.pull.too_large(rest),
            (Some(_), Some(rest)) => self.pull.ended(rest),
            (Some(StatusCode::IDLE_HEARTBEAT) | None, _) => {}
            (Some(status), None) => {
                tracing::debug!(%status, text, "the server ended a request");
                self.pull.reset(now + REST);
            }
        }
    }
}

fn pending_messages(headers: &HeaderMap) -> Option<usize> {
    headers.get("Nats-Pending-Messages")?.as_str().parse().ok()
}

fn request(due: Due, bytes_max: usize) -> String {
    let (batch, expires) = (due.messages, EXPIRES.as_nanos());
    match due.bounded {
        true => format!(r#"{{"batch":{batch},"max_bytes":{bytes_max},"expires":{expires}}}"#),
        false => format!(r#"{{"batch":{batch},"expires":{expires}}}"#),
    }
}

/// Copies what is ours of the headers; the body stays where the driver read it.
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
            lane: token.lane,
            offset,
        },
        address: Address::Subject { subject, skip },
        at: Some(token.at),
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
