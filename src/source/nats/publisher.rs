//! Publishing deliveries to the stream, pipelined and confirmed: for an edge's tests, demonstrations and measurements.
//!
//! Contract: [`publish`] returns when the stream has confirmed every message. A message whose confirmation does not come is sent again
//! under the same `Nats-Msg-Id`, so that within the stream's duplicate window it is stored once. Order is kept but for such repetitions.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use tokio::time::Instant;

use super::config::ConnectionConfig;
use super::connect::connect;
use super::reader::next_batch;
use crate::error::{Exit, Fatal};
use crate::event::Delivery;
use crate::source::connect_error::ConnectError;
use crate::source::message::publish::{headers, subject};
use crate::source::pace::Pace;

/// Messages under way.
const WINDOW: usize = 8 * 1024;
/// How long a confirmation may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where a pace is kept, what is due within such a time goes out together: woken for each confirmation and each message that
/// is due, the two sides would spend most of their time waking each other.
const TURN: Duration = Duration::from_millis(1);
/// How often a message is sent again before its stream is given up.
const ATTEMPTS: u32 = 12;

/// One message to publish.
#[derive(Clone, Debug)]
pub struct NatsMessage {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
}

impl NatsMessage {
    /// A delivery, under the id by which the stream knows a repetition.
    pub fn delivery(prefix: &str, id: &str, delivery: &Delivery) -> Self {
        let mut map = HeaderMap::new();
        map.insert("Nats-Msg-Id", id);
        for (name, value) in headers(delivery) {
            map.insert(name, Cow::into_owned(value));
        }
        Self {
            subject: subject(prefix, delivery),
            headers: map,
            body: delivery.body.clone(),
        }
    }

    /// Bytes that are no delivery: they will be a dead letter.
    pub fn junk(prefix: &str, id: &str, body: Bytes) -> Self {
        let mut map = HeaderMap::new();
        map.insert("Nats-Msg-Id", id);
        Self {
            subject: subject(prefix, &Delivery::default()),
            headers: map,
            body,
        }
    }
}

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatsPublishTotals {
    /// Messages that the stream holds.
    pub messages: u64,
    /// Those among them that it knew by their id.
    pub duplicates: u64,
}

/// Publishes everything, each message when it is due.
pub fn publish(
    connection: &ConnectionConfig,
    messages: impl Iterator<Item = NatsMessage>,
    pace: Pace,
) -> Result<NatsPublishTotals, Fatal> {
    super::runtime()?.block_on(async {
        let client = connect(connection, |_| {}).await?;
        Publisher::open(client).await?.run(messages, pace).await
    })
}

struct Publisher {
    client: Client,
    inbox: String,
    confirmations: Subscriber,
    /// What is under way, oldest first; none where it is confirmed.
    window: VecDeque<Option<Sent>>,
    /// The number of the oldest.
    first: u64,
    published: NatsPublishTotals,
}

struct Sent {
    message: NatsMessage,
    since: Instant,
    attempts: u32,
}

impl Publisher {
    async fn open(client: Client) -> Result<Self, Fatal> {
        let inbox = client.new_inbox();
        let confirmations = client.subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            confirmations: confirmations.map_err(|error| super::reader::client_ended(&error))?,
            inbox,
            client,
            window: VecDeque::new(),
            first: 0,
            published: NatsPublishTotals::default(),
        })
    }

    async fn run(
        mut self,
        mut messages: impl Iterator<Item = NatsMessage>,
        pace: Pace,
    ) -> Result<NatsPublishTotals, Fatal> {
        let mut batch = Vec::new();
        let (started, mut more) = (Instant::now(), true);
        let mut check = tokio::time::interval(PATIENCE / 5);
        while more || !self.window.is_empty() {
            let mut wait = None;
            while more && self.window.len() < WINDOW {
                wait = pace.wait(self.sent(), started.elapsed());
                if wait.is_some() {
                    break;
                }
                match messages.next() {
                    Some(message) => self.send(message).await?,
                    None => more = false,
                }
            }
            tokio::select! {
                _ = next_batch(&mut self.confirmations, &mut batch) => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                _ = check.tick() => self.again().await?,
            }
            for message in batch.drain(..) {
                self.confirmed(&message)?;
            }
            if wait.is_some() {
                tokio::time::sleep(TURN).await;
            }
        }
        Ok(self.published)
    }

    /// How many messages have been sent; the number of the next.
    fn sent(&self) -> u64 {
        self.first + self.window.len() as u64
    }

    async fn send(&mut self, message: NatsMessage) -> Result<(), Fatal> {
        let number = self.sent();
        self.transmit(number, message.clone()).await?;
        self.window.push_back(Some(Sent {
            message,
            since: Instant::now(),
            attempts: 1,
        }));
        Ok(())
    }

    async fn transmit(&self, number: u64, message: NatsMessage) -> Result<(), Fatal> {
        let reply = format!("{}.{number}", self.inbox);
        let sent = self.client.publish_with_reply_and_headers(
            message.subject,
            reply,
            message.headers,
            message.body,
        );
        sent.await.map_err(|error| {
            Fatal::new(
                Exit::Input,
                format!("a message cannot be published: {error}"),
            )
        })
    }

    /// What was not confirmed in time is sent again.
    async fn again(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        let mut overdue = Vec::new();
        for (place, sent) in self.window.iter_mut().enumerate() {
            if let Some(sent) = sent.as_mut().filter(|sent| sent.since + PATIENCE < now) {
                if sent.attempts == ATTEMPTS {
                    return Err(silent().into());
                }
                sent.attempts += 1;
                sent.since = now;
                overdue.push((self.first + place as u64, sent.message.clone()));
            }
        }
        for (number, message) in overdue {
            self.transmit(number, message).await?;
        }
        Ok(())
    }

    fn confirmed(&mut self, message: &Message) -> Result<(), Fatal> {
        let number = message.subject.rsplit_once('.').map(|(_, number)| number);
        let place = number
            .and_then(|number| number.parse::<u64>().ok()?.checked_sub(self.first))
            .and_then(|place| usize::try_from(place).ok());
        let Some(slot) = place.and_then(|place| self.window.get_mut(place)) else {
            return Ok(());
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            // No stream takes it, or its server is starting: the next attempt will tell.
            return Ok(());
        }
        let text = String::from_utf8_lossy(&message.payload);
        if text.contains("\"error\"") {
            return Err(
                ConnectError::Permanent(format!("the stream refuses a message: {text}")).into(),
            );
        }
        if slot.take().is_some() {
            self.published.messages += 1;
            self.published.duplicates += u64::from(text.contains("\"duplicate\""));
        }
        while self.window.front().is_some_and(Option::is_none) {
            self.window.pop_front();
            self.first += 1;
        }
        Ok(())
    }
}

fn silent() -> ConnectError {
    ConnectError::Transient(
        "the stream does not confirm what is published: does it exist (`hookflow setup`), and is its server up?"
            .into(),
    )
}
