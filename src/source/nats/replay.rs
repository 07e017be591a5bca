//! The stream's past, as a finite source: everything from a moment on, up to what the stream holds when it begins.
//!
//! It reads with a consumer of its own that acknowledges nothing and disappears by itself, so live readers do not notice it.
//! Offsets are the stream's own sequences, in order. The server numbers its deliveries without gaps; where one is missing (the
//! connection broke), reading begins again behind the last message that arrived. Messages and bytes in memory are bounded: those of
//! one run, and those of the requests under way; nothing is asked for while the job has no room.
//!
//! A replay that is stopped starts again from its beginning; what it applied already is recognised as duplicates.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, datetime};
use tokio::time::Instant;

use super::ack_subject::Delivered;
use super::config::NatsConfig;
use super::connect::connect;
use super::pull::{Pull, request_subject};
use super::reader::intake::record;
use super::stream::find;
use super::wire::{Arrived, Connection, Incoming};
use crate::error::{Exit, Fatal};
use crate::source::replay::{ReplayError as End, ReplayRange, ReplayStart};
use crate::source::run_builder::{RUN_RECORDS_MAX, RunBuilder};
use crate::source::{PartitionEvent, Source, SourceContext};

/// Most messages that are asked for.
const ASKED: usize = 4 * RUN_RECORDS_MAX;
/// How long a message may take while more are known to wait.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often requests are checked when nothing arrives.
const TICK: Duration = Duration::from_millis(100);

/// A replay.
#[derive(Debug)]
pub struct NatsReplay {
    config: NatsConfig,
    range: ReplayRange,
}

impl NatsReplay {
    /// A replay that has not connected yet.
    pub const fn new(config: NatsConfig, range: ReplayRange) -> Self {
        Self { config, range }
    }
}

impl Source for NatsReplay {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        super::runtime()?.block_on(self.read(context))
    }
}

/// A replay at work.
struct Reading<'a> {
    replay: &'a NatsReplay,
    context: SourceContext,
    client: Client,
    line: Connection,
    run: RunBuilder,
    /// The first sequence of the stream.
    first: u64,
    /// The next sequence to read.
    next: u64,
    /// The last sequence to read.
    last: u64,
}

impl NatsReplay {
    async fn read(&self, context: SourceContext) -> Result<(), Fatal> {
        let client = connect(&self.config.connection, |_| {}).await?;
        let jetstream = jetstream::new(client.clone());
        let state = find(&jetstream, &self.config).await?.stream.state;
        let mut reading = Reading {
            line: Connection::new(self.config.connection.clone(), client.clone()),
            client,
            replay: self,
            context,
            run: RunBuilder::new(0, state.first_sequence),
            first: state.first_sequence,
            next: state.first_sequence,
            last: state.last_sequence,
        };
        match reading.read_all().await {
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

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PassOutcome {
    More,
    /// A message is missing: the rest must be asked for anew.
    Again,
    Done,
}

/// A consumer of this replay.
struct ReplayPass {
    consumer: String,
    pull: Pull,
    /// The number of the next delivery.
    expected: u64,
    last_message: Instant,
}

impl Reading<'_> {
    async fn read_all(&mut self) -> Result<(), End> {
        let offset = self.first;
        self.context.records.send_event(PartitionEvent::Begins {
            partition: 0,
            name: self.replay.config.stream.clone(),
            offset,
            length: None,
        })?;
        while self.pass().await? == PassOutcome::Again {
            tracing::warn!(
                next = self.next,
                "messages are missing: reading begins again behind the last one"
            );
            self.check_stop()?;
            tokio::time::sleep(2 * TICK).await;
        }
        self.hand_out().await?;
        Ok(self.context.records.send_event(PartitionEvent::Ended {
            partition: 0,
            offset: self.run.handed_out(),
        })?)
    }

    /// Reads with one consumer until the end, or until something is missing.
    async fn pass(&mut self) -> Result<PassOutcome, End> {
        if self.next > self.last {
            return Ok(PassOutcome::Done);
        }
        let jetstream = jetstream::new(self.client.clone());
        let Some((consumer, waiting)) = self.create_consumer(&jetstream).await? else {
            return Ok(PassOutcome::Again);
        };
        if waiting == 0 {
            return Ok(PassOutcome::Done);
        }
        let mut pass = ReplayPass {
            consumer,
            pull: Pull::default(),
            expected: 1,
            last_message: Instant::now(),
        };
        let (begun, mut batch) = (Instant::now(), Vec::new());
        while pass.last_message.elapsed() < SILENCE_MAX {
            self.check_stop()?;
            self.request(&mut pass, begun.elapsed());
            tokio::select! {
                arrived = self.line.arrived(&mut batch) => if !matches!(arrived, Arrived::Messages) {
                    pass.pull.reset(begun.elapsed());
                },
                () = tokio::time::sleep(TICK) => {}
            }
            for message in batch.drain(..) {
                match self.receive(&message, &mut pass, begun.elapsed()).await? {
                    PassOutcome::More => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(PassOutcome::Again)
    }

    fn request(&mut self, pass: &mut ReplayPass, now: Duration) {
        let config = &self.replay.config;
        if let Some(request) = pass
            .pull
            .next_request(now, ASKED.min(config.batch_messages))
        {
            let subject = request_subject(&config.stream, &pass.consumer);
            let payload = request.payload(config.batch_bytes);
            let reply = format!("{}.0", self.line.inbox());
            if !self.line.request(&subject, &reply, &payload) {
                pass.pull.reset(now + TICK);
            }
        }
    }

    async fn receive(
        &mut self,
        message: &Incoming,
        pass: &mut ReplayPass,
        now: Duration,
    ) -> Result<PassOutcome, End> {
        let reply = message.reply();
        let delivered = std::str::from_utf8(&reply).ok().and_then(Delivered::parse);
        let Some(delivered) = delivered else {
            pass.pull.record_status(message, now);
            return Ok(PassOutcome::More);
        };
        if delivered.consumer != pass.consumer {
            return Ok(PassOutcome::More);
        }
        pass.last_message = Instant::now();
        pass.pull.record_message();
        if delivered.delivery != pass.expected {
            return Ok(PassOutcome::Again);
        }
        pass.expected += 1;
        let until = self.replay.range.until;
        let is_late = until.is_some_and(|until| delivered.taken_at() >= until);
        if delivered.sequence > self.last || is_late {
            return Ok(PassOutcome::Done);
        }
        let skip = self.replay.config.tokens_before_provider();
        self.run
            .push(delivered.sequence, record(message, &delivered, skip), now);
        self.next = delivered.sequence + 1;
        if self.run.is_full() || delivered.pending == 0 {
            self.hand_out().await?;
            // Waiting for room is not the server's silence.
            pass.last_message = Instant::now();
        }
        let is_done = delivered.pending == 0 || delivered.sequence == self.last;
        Ok(if is_done {
            PassOutcome::Done
        } else {
            PassOutcome::More
        })
    }

    /// Hands out what was read, when there is room.
    async fn hand_out(&mut self) -> Result<(), End> {
        while let Some(run) = self.run.cut(usize::MAX) {
            let mut waiting = Some(run);
            while let Some(run) = waiting.take() {
                self.check_stop()?;
                waiting = self.context.records.try_hand_out(run)?;
                if waiting.is_some() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), End> {
        if self.context.stop.load(Ordering::Relaxed) {
            return Err(End::Stopped);
        }
        Ok(())
    }

    /// A consumer that begins where reading does, and how many messages wait for it; none where another attempt may succeed.
    async fn create_consumer(&self, context: &Context) -> Result<Option<(String, u64)>, End> {
        let config = &self.replay.config;
        let name = format!("replay-{:016x}", rand::random::<u64>());
        let consumer = pull::Config {
            name: Some(name.clone()),
            deliver_policy: self.replay.policy(self.next, self.first)?,
            ack_policy: AckPolicy::None,
            filter_subject: format!("{}.>", config.subject),
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            max_deliver: 1,
            ..pull::Config::default()
        };
        let created = context
            .create_consumer_on_stream(consumer, &config.stream)
            .await;
        Ok(created
            .ok()
            .map(|created| (name, created.cached_info().num_pending)))
    }
}
