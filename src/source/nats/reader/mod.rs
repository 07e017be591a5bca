//! The running source: one loop that moves messages to the job and acknowledgements to the server.
//!
//! Everything happens on one thread, in turn: arriving messages become records and are handed out (`intake`, `receive_buffer`),
//! commits become acknowledgements and leases are extended (`commits`), and what the server says of the stream is judged
//! (`observe`). Where the job has no room, records wait here, and nothing more is asked for.

mod commits;
pub(super) mod intake;
mod observe;
mod receive_buffer;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::{Client, Message, Subscriber};
use crossbeam_channel::{Receiver, TryRecvError};
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::observe::{Observed, StreamObservation};
use self::receive_buffer::ReceiveBuffer;
use super::acks::AckQueue;
use super::config::NatsConfig;
use super::connection_status::ConnectionStatus;
use super::held::HeldMessages;
use super::pull::Pull;
use super::stream::StreamState;
use super::wire::{Arrived, Connection};
use crate::error::{Exit, Fatal};
use crate::metrics::Metrics;
use crate::source::state_breaker::StateBreaker;
use crate::source::{Commit, PartitionEvent, RecordSender, SourceContext, SourceHealth};

/// Most confirmations taken in one turn.
const BATCH: usize = 4096;
/// What comes within such a time is taken in one turn: a turn and a poll of the socket cost more than a message.
const TURN: Duration = Duration::from_millis(1);
/// How long the last acknowledgements may take when everything else is done.
const LAST_CONFIRMATIONS: Duration = Duration::from_secs(5);

/// A source that reads.
pub struct Reader {
    config: NatsConfig,
    /// None when nothing more is handed out.
    records: Option<RecordSender>,
    commits: Receiver<Vec<Commit>>,
    stop: Arc<AtomicBool>,
    health: SourceHealth,
    state_breaker: StateBreaker,
    metrics: Arc<Metrics>,
    client: Client,
    context: Context,
    status: ConnectionStatus,
    /// The connection that acknowledgements under way were sent over.
    connected: u64,
    /// Where messages arrive.
    line: Connection,
    /// Where confirmations of acknowledgements arrive, and the prefix of their subjects.
    confirmations: (String, Subscriber),
    phase: ReaderPhase,
    consumers: Vec<DurableConsumer>,
    /// The consumer that the next turn asks first.
    first_asked: usize,
    held: HeldMessages,
    /// Messages whose acknowledgements are confirmed, and which are not forgotten yet.
    confirmed: Vec<u64>,
    /// Such messages, and the question after whose answer they are forgotten.
    forgettable: Option<(u64, Vec<u64>)>,
    receive_buffer: ReceiveBuffer,
    observed: Observed,
    started: Instant,
    leases_extended: Duration,
}

/// Whether messages are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderPhase {
    /// They are asked for and handed out.
    Reading,
    /// Requests are cancelled; messages under way go back, until this question is answered.
    Draining(u64),
    /// None arrive any more.
    Drained,
}

/// One durable consumer at work.
struct DurableConsumer {
    name: String,
    pull: Pull,
    acks: AckQueue,
}

/// The client library reconnects for ever; where it cannot even queue a command, it has ended.
pub(super) fn client_ended(error: &dyn std::fmt::Display) -> Fatal {
    Fatal::new(
        Exit::Internal,
        format!("the NATS client has ended: {error}"),
    )
}

impl Reader {
    /// A reader that has asked for nothing yet.
    pub async fn new(
        config: NatsConfig,
        context: SourceContext,
        client: Client,
        status: ConnectionStatus,
    ) -> Result<Self, Fatal> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.>")).await;
        let subscriber = subscriber.map_err(|error| client_ended(&error))?;
        let consumers = config
            .consumers()
            .into_iter()
            .map(|consumer| DurableConsumer {
                name: consumer.name,
                pull: Pull::default(),
                acks: AckQueue::default(),
            });
        Ok(Self {
            consumers: consumers.collect(),
            first_asked: 0,
            context: async_nats::jetstream::new(client.clone()),
            connected: status.number(),
            records: Some(context.records),
            commits: context.commits,
            stop: context.stop,
            health: context.health,
            state_breaker: context.state_breaker,
            metrics: context.metrics,
            line: Connection::new(config.connection.clone(), client.clone()),
            config,
            client,
            status,
            confirmations: (inbox, subscriber),
            phase: ReaderPhase::Reading,
            held: HeldMessages::default(),
            confirmed: Vec::new(),
            forgettable: None,
            receive_buffer: ReceiveBuffer::default(),
            observed: Observed::default(),
            started: Instant::now(),
            leases_extended: Duration::ZERO,
        })
    }

    /// Reads until the job stops, acknowledges until it is over.
    pub async fn run(&mut self, found: &StreamState) -> Result<(), Fatal> {
        self.begin(found);
        let (sender, mut observations) = mpsc::channel(1);
        let watch = observe::watch(self.context.clone(), self.config.clone(), sender);
        let watch = tokio::spawn(watch);
        let ended = self.turns(&mut observations).await;
        watch.abort();
        ended
    }

    fn begin(&self, found: &StreamState) {
        let (stream, created) = (&self.config.stream, found.stream.created);
        let begins = PartitionEvent::Begins {
            partition: 0,
            // A stream that is made anew counts its messages from the start again.
            name: format!("{stream} of {created}"),
            offset: 0,
            length: None,
        };
        let sent = self
            .records
            .as_ref()
            .map(|records| records.send_event(begins));
        if sent.is_some_and(|sent| sent.is_err()) {
            tracing::debug!("the job ended before its source began");
        }
    }

    async fn turns(
        &mut self,
        observations: &mut mpsc::Receiver<StreamObservation>,
    ) -> Result<(), Fatal> {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        let mut over: Option<Duration> = None;
        loop {
            let pause = self.pause();
            let mut observation = None;
            tokio::select! {
                arrived = self.line.arrived(&mut batch), if self.phase != ReaderPhase::Drained => {
                    self.connection_changed(&arrived);
                }
                is_open = next_batch(&mut self.confirmations.1, &mut answers) => if !is_open {
                    return Err(client_ended(&"its subscription was closed"));
                },
                found = observations.recv() => observation = found,
                () = tokio::time::sleep(pause) => {}
            }
            self.receive(&mut batch).await?;
            for answer in answers.drain(..) {
                self.confirmed(&answer);
            }
            if let Some(observation) = observation {
                self.judge(observation).await?;
            }
            self.forget_confirmed();
            let is_job_over = !self.take_commits();
            self.turn().await?;
            if is_job_over {
                let since = *over.get_or_insert(self.now());
                if let Some(ended) = self.end(since) {
                    return ended;
                }
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// One turn of everything that needs the server.
    async fn turn(&mut self) -> Result<(), Fatal> {
        if self.stop.load(Ordering::Relaxed) {
            self.records = None;
        }
        self.hand_out();
        if self.records.is_none() {
            self.give_back().await?;
        }
        self.check_connection();
        if self.status.is_down() {
            return Ok(());
        }
        self.request();
        self.acknowledge().await?;
        self.extend_leases().await
    }

    /// Whether the source has ended, and how: every commit is acknowledged, or its confirmation takes too long.
    fn end(&self, since: Duration) -> Option<Result<(), Fatal>> {
        if self.is_acknowledged() {
            return Some(Ok(()));
        }
        let is_late = self.now() > since + LAST_CONFIRMATIONS;
        is_late.then(|| {
            Err(Fatal::new(
                Exit::Unfinished,
                "NATS does not confirm the last acknowledgements: it will deliver those messages again",
            ))
        })
    }

    /// Takes the job's commits; whether more may come.
    fn take_commits(&mut self) -> bool {
        loop {
            match self.commits.try_recv() {
                Ok(commits) => self.commit(&commits),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.records = None;
                    return false;
                }
            }
        }
    }

    /// The connection on which messages arrive has changed.
    fn connection_changed(&mut self, arrived: &Arrived) {
        match (arrived, self.phase) {
            (Arrived::Messages, ReaderPhase::Draining(question))
                if !self.line.is_answered(question) => {}
            (_, ReaderPhase::Draining(_)) => self.phase = ReaderPhase::Drained,
            (Arrived::Messages, _) => {}
            (Arrived::Opened, _) => {
                self.health.recovered("messages");
                self.reset_requests();
            }
            (Arrived::Lost(why), _) => self.health.degraded("messages", why.to_string()),
        }
    }

    /// What was asked for over an old connection never comes.
    fn reset_requests(&mut self) {
        let now = self.now();
        self.observed.quiet_since = now;
        for consumer in &mut self.consumers {
            consumer.pull.reset(now);
        }
    }

    /// How long to wait when nothing comes.
    fn pause(&self) -> Duration {
        Duration::from_millis(if !self.receive_buffer.is_empty() {
            1
        } else if !self.held.is_empty() {
            2
        } else {
            20
        })
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn publish(
        &self,
        subject: async_nats::Subject,
        payload: &'static [u8],
    ) -> Result<(), Fatal> {
        let payload = bytes::Bytes::from_static(payload);
        let sent = self.client.publish(subject, payload).await;
        sent.map_err(|error| client_ended(&error))
    }
}

/// Waits for messages of the client library and takes all that have come; false if none will come any more. The future may be
/// dropped at any moment without loss.
pub(super) async fn next_batch(subscriber: &mut Subscriber, batch: &mut Vec<Message>) -> bool {
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
