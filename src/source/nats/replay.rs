//! The stream's past, as a finite source: everything from a moment on, up to what the stream holds when it begins.
//!
//! It reads with a consumer of its own that acknowledges nothing and disappears by itself, so live readers do not notice it. All
//! partitions are one: positions are the stream's own sequences, in order. The server counts what it sends without gaps; where one is
//! missing (the connection broke), reading begins again behind the last message that came.
//!
//! A replay that is stopped starts again from its beginning; what it applied already is recognised as duplicates.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Message, datetime};
use futures_util::StreamExt;

use super::connect::connect;
use super::reader::record;
use super::settings::Settings;
use super::stream::find;
use super::token::Token;
use crate::error::{Exit, Fatal};
use crate::source::message::FieldsWriter;
use crate::source::replay::{ReplayError as End, ReplayRange, ReplayStart};
use crate::source::{PartitionEvent, Record, Records};
use crate::source::{Source, SourceContext};

/// Most messages of one parcel.
const PARCEL: usize = 512;
/// How long a message may take while more are known to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A replay.
#[derive(Debug)]
pub struct NatsReplay {
    settings: Settings,
    range: ReplayRange,
}

impl NatsReplay {
    /// A replay that has not connected yet.
    pub const fn new(settings: Settings, range: ReplayRange) -> Self {
        Self { settings, range }
    }
}

impl Source for NatsReplay {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        super::runtime()?.block_on(self.read(context))
    }
}

/// What is read, and how far it is.
struct Reading<'a> {
    replay: &'a NatsReplay,
    ends: SourceContext,
    fields: FieldsWriter,
    records: Vec<Record>,
    bytes: usize,
    /// The first sequence of all.
    first: u64,
    /// Where the next parcel begins.
    start: u64,
    /// Where the next message is looked for.
    next: u64,
    /// The last sequence of all.
    last: u64,
}

impl NatsReplay {
    async fn read(&self, ends: SourceContext) -> Result<(), Fatal> {
        let client = connect(&self.settings.connection, |_| {}).await?;
        let context = jetstream::new(client);
        let state = find(&context, &self.settings).await?.stream.state;
        let mut reading = Reading {
            first: state.first_sequence,
            start: state.first_sequence,
            next: state.first_sequence,
            last: state.last_sequence,
            replay: self,
            ends,
            fields: FieldsWriter::default(),
            records: Vec::new(),
            bytes: 0,
        };
        match reading.all(&context).await {
            Ok(()) | Err(End::Stopped) => Ok(()),
            Err(End::Failed(fatal)) => Err(fatal),
        }
    }

    fn policy(&self, next: u64, first: u64) -> Result<DeliverPolicy, Fatal> {
        if next > first {
            return Ok(DeliverPolicy::ByStartSequence {
                start_sequence: next,
            });
        }
        match self.range.start {
            ReplayStart::Beginning => Ok(DeliverPolicy::All),
            ReplayStart::Offset(sequence) => Ok(DeliverPolicy::ByStartSequence {
                start_sequence: sequence.max(1),
            }),
            ReplayStart::Time(time) => {
                let nanos = i128::from(time.0) * 1_000_000;
                let start_time = datetime::from_nanos(nanos).map_err(|_| {
                    Fatal::new(Exit::Usage, format!("{time} is no time to begin at"))
                })?;
                Ok(DeliverPolicy::ByStartTime { start_time })
            }
        }
    }
}

/// Whether there is more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    /// The rest must be asked for anew.
    Again,
    Done,
}

impl Reading<'_> {
    async fn all(&mut self, context: &Context) -> Result<(), End> {
        let (name, offset) = (&self.replay.settings.stream, self.start);
        self.ends.records.tell(PartitionEvent::Begins {
            partition: 0,
            name: format!("{name} from {offset} to {}", self.last),
            offset,
            length: None,
        })?;
        while self.pass(context).await? == Then::Again {
            tracing::warn!(
                next = self.next,
                "messages are missing: reading begins again behind the last"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let end = (self.last + 1).max(self.start);
        self.next = end;
        self.hand_out().await?;
        Ok(self.ends.records.tell(PartitionEvent::Ended {
            partition: 0,
            offset: self.start,
        })?)
    }

    /// Reads with one consumer until the end, or until something is missing.
    async fn pass(&mut self, context: &Context) -> Result<Then, End> {
        if self.next > self.last {
            return Ok(Then::Done);
        }
        let Ok((consumer, waiting)) = self.consumer(context).await? else {
            return Ok(Then::Again);
        };
        if waiting == 0 {
            return Ok(Then::Done);
        }
        let messages = consumer.stream().max_messages_per_batch(4 * PARCEL);
        let Ok(mut messages) = messages.messages().await else {
            return Ok(Then::Again);
        };
        let mut expected = 1;
        loop {
            let next = tokio::time::timeout(PATIENCE, messages.next()).await;
            let Ok(Some(Ok(message))) = next else {
                return Ok(Then::Again);
            };
            match self.take(message.message, expected).await? {
                Then::More => expected += 1,
                then => return Ok(then),
            }
        }
    }

    async fn take(&mut self, message: Message, expected: u64) -> Result<Then, End> {
        let token = message.reply.as_ref().and_then(|reply| Token::parse(reply));
        let Some(token) = token.filter(|token| token.delivery == expected) else {
            return Ok(Then::Again);
        };
        let late = self
            .replay
            .range
            .until
            .is_some_and(|until| token.at >= until);
        if token.sequence > self.last || late {
            return Ok(Then::Done);
        }
        let token_of_lane = Token {
            partition: 0,
            ..token
        };
        let skip = self.replay.settings.tokens_before_provider();
        let record = record(
            &mut self.fields,
            message,
            &token_of_lane,
            token.sequence,
            skip,
        );
        self.bytes += record.bytes();
        self.records.push(record);
        self.next = token.sequence + 1;
        if self.records.len() >= PARCEL || token.pending == 0 {
            self.hand_out().await?;
        }
        let done = token.pending == 0 || token.sequence == self.last;
        Ok(if done { Then::Done } else { Then::More })
    }

    /// Hands out what was read as one parcel, when there is room.
    async fn hand_out(&mut self) -> Result<(), End> {
        if self.records.is_empty() {
            return Ok(());
        }
        let mut parcel = Records {
            partition: 0,
            start: std::mem::replace(&mut self.start, self.next),
            end: self.next,
            records: std::mem::take(&mut self.records),
            bytes: std::mem::take(&mut self.bytes),
            due: None,
        };
        loop {
            if self.ends.stop.load(Ordering::Relaxed) {
                return Err(End::Stopped);
            }
            match self.ends.records.try_hand_out(parcel)? {
                None => return Ok(()),
                Some(back) => parcel = back,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A consumer that begins where reading does, and how many messages wait for it; an error that may pass is `Err` within.
    async fn consumer(&self, context: &Context) -> Result<Result<(PullConsumer, u64), ()>, End> {
        let settings = &self.replay.settings;
        let config = pull::Config {
            name: Some(format!("replay-{}-0", nonce())),
            deliver_policy: self.replay.policy(self.next, self.first)?,
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}.>", settings.subject),
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            max_deliver: 1,
            ..pull::Config::default()
        };
        let created = context
            .create_consumer_on_stream(config, &settings.stream)
            .await;
        let Ok(consumer) = created else {
            return Ok(Err(()));
        };
        let waiting = consumer.cached_info().num_pending;
        Ok(Ok((consumer, waiting)))
    }
}

/// So that two replays do not share a consumer.
fn nonce() -> String {
    format!("{:016x}", rand::random::<u64>())
}
