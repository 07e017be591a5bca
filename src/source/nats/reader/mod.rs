//! The running source: one loop that moves messages to the job and acknowledgements to the server.
//!
//! Everything happens on one thread, in turn: what came is taken into runs of its partition and handed out as parcels
//! (`intake`, as far as the guard permits: `guarded`), what settled is acknowledged and what is held long is renewed (`acks`), what a look at the server found is judged
//! (`health`). Where the job has no room, parcels wait here, and no more is asked for.

mod acks;
mod health;
mod intake;

use std::collections::{BTreeMap, VecDeque};
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

use self::acks::Flights;
use self::health::Health;
use self::intake::Run;
pub(super) use self::intake::record;
use super::link::{Link, jetstream};
use super::losses::Losses;
use super::missing::Missing;
use super::partition::Partition;
use super::pull::Pull;
use super::settings::Settings;
use super::stream::Found;
use super::watch::{Look, watch};
use super::wire::{Arrived, Line};
use crate::error::{Exit, Fatal};
use crate::metrics::Metrics;
use crate::source::{Commit, PartitionEvent, RecordSender, Records, SourceContext, SourceHealth};

/// Most answers taken in one turn.
const BATCH: usize = 4096;
/// How often the server is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What comes within such a time is taken in one turn: a turn, and a look at the socket, cost more than a message.
const TURN: Duration = Duration::from_millis(1);
/// How long the last acknowledgements may take when everything else is done.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A source that reads.
pub struct Reader {
    settings: Settings,
    /// None when nothing more is handed out.
    feed: Option<RecordSender>,
    settled: Receiver<Vec<Commit>>,
    stop: Arc<AtomicBool>,
    condition: SourceHealth,
    metrics: Arc<Metrics>,
    client: Client,
    context: Context,
    link: Link,
    /// Which connection the acknowledgements under way belong to.
    connection: u64,
    /// Where messages come in.
    line: Line,
    /// Where confirmations of acknowledgements come in.
    acks: (String, Subscriber),
    /// A look that waits until everything has come that was sent before it, and the question whose answer tells.
    look: Option<(Look, u64)>,
    reading: Reading,
    partitions: BTreeMap<u32, Work>,
    /// Records that found no room, in order.
    ready: VecDeque<Records>,
    /// Messages and bytes that wait here, in parcels and runs.
    waiting: (usize, usize),
    health: Health,
    losses: Losses,
    started: Instant,
    renewed: Duration,
}

/// Whether messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// They are asked for and handed out.
    On,
    /// What is under way is taken, and goes back, until this question is answered.
    Draining(u64),
    /// None come any more.
    Ended,
}

/// One partition at work.
struct Work {
    partition: Partition,
    pull: Pull,
    run: Run,
    flights: Flights,
    /// Since when nothing came.
    quiet_since: Duration,
    /// The server was asked for messages since the last look.
    is_asked: bool,
    /// What the server waits for and is not here, as the last look found.
    missing: Missing,
}

async fn open(client: &Client) -> Result<(String, Subscriber), Fatal> {
    let inbox = client.new_inbox();
    let subscriber = client.subscribe(format!("{inbox}.>")).await;
    let subscriber = subscriber.map_err(|error| lost(&error))?;
    Ok((inbox, subscriber))
}

/// The driver mends its connection for ever; where it cannot even queue a command, it is gone.
pub(super) fn lost(error: &dyn std::fmt::Display) -> Fatal {
    Fatal::new(
        Exit::Watchdog,
        format!("the NATS client has ended: {error}"),
    )
}

impl Reader {
    /// A reader that has asked for nothing yet.
    pub async fn new(
        settings: Settings,
        ends: SourceContext,
        client: Client,
        link: Link,
    ) -> Result<Self, Fatal> {
        let acks = open(&client).await?;
        let line = Line::new(settings.connection.clone(), client.clone());
        let partition = |partition| {
            let work = Work {
                partition: Partition::new(Duration::ZERO),
                pull: Pull::default(),
                run: Run::default(),
                flights: Flights::default(),
                quiet_since: Duration::ZERO,
                is_asked: false,
                missing: Missing::default(),
            };
            (partition, work)
        };
        Ok(Self {
            partitions: settings.partitions.iter().map(partition).collect(),
            context: jetstream(&client),
            connection: link.number(),
            feed: Some(ends.records),
            settled: ends.commits,
            stop: ends.stop,
            condition: ends.health,
            metrics: ends.metrics,
            settings,
            client,
            link,
            line,
            acks,
            look: None,
            reading: Reading::On,
            ready: VecDeque::new(),
            waiting: (0, 0),
            health: Health::default(),
            losses: Losses::default(),
            started: Instant::now(),
            renewed: Duration::ZERO,
        })
    }

    /// Reads until the job stops, acknowledges until it is over.
    pub async fn run(mut self, found: &Found) -> Result<(), Fatal> {
        self.begins_with(found);
        self.begin(found);
        let (looks, mut looked) = mpsc::channel(1);
        let watching = watch(self.context.clone(), self.settings.clone(), LOOK, looks);
        let watching = tokio::spawn(watching);
        let ended = self.turns(&mut looked).await;
        watching.abort();
        ended
    }

    async fn turns(&mut self, looked: &mut mpsc::Receiver<Look>) -> Result<(), Fatal> {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        let mut over: Option<Duration> = None;
        loop {
            let pause = self.pause();
            tokio::select! {
                arrived = self.line.arrived(&mut batch), if self.reading != Reading::Ended => {
                    self.arrived(&arrived);
                }
                open = next_batch(&mut self.acks.1, &mut answers) => still(open)?,
                Some(look) = looked.recv() => self.look = Some((look, self.line.ping())),
                () = tokio::time::sleep(pause) => {}
            }
            self.take(&mut batch)?;
            answers
                .drain(..)
                .for_each(|answer| self.acknowledged(&answer));
            if let Some(look) = self.look_that_is_due() {
                self.looked(look).await?;
            }
            let going_on = self.settle();
            self.turn().await?;
            if !going_on {
                let since = *over.get_or_insert(self.now());
                let confirmed = self
                    .partitions
                    .values()
                    .all(|work| work.partition.is_confirmed());
                if confirmed || self.now() > since + LAST_WORDS {
                    return Ok(());
                }
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// One turn of everything that needs the server.
    async fn turn(&mut self) -> Result<(), Fatal> {
        if self.feed.is_some() && self.stop.load(Ordering::Relaxed) {
            self.feed = None;
        }
        self.hand_out();
        if self.feed.is_none() {
            self.give_back().await?;
        }
        self.reconnected();
        if self.link.is_down() {
            return Ok(());
        }
        self.ask();
        self.acknowledge().await?;
        self.renew().await
    }

    /// Begins the partitions.
    fn begin(&mut self, found: &Found) {
        let (stream, created) = (&self.settings.stream, found.stream.created);
        for (partition, work) in &mut self.partitions {
            let known = found.consumer(&self.settings, *partition);
            work.partition
                .begins_after(known.map_or(0, |info| info.delivered.consumer_sequence));
        }
        for partition in self.partitions.keys() {
            self.tell(PartitionEvent::Begins {
                partition: *partition,
                // A stream that is made anew is another one.
                name: format!("{stream} partition {partition} of {created}"),
                offset: 0,
                length: None,
            });
        }
    }

    /// Tells the job something of a partition.
    fn tell(&self, notice: PartitionEvent) {
        let told = self.feed.as_ref().map(|feed| feed.tell(notice));
        if told.is_some_and(|told| told.is_err()) {
            tracing::debug!("the job ended before its source began");
        }
    }

    /// Takes what the job settled; whether more may come.
    fn settle(&mut self) -> bool {
        loop {
            match self.settled.try_recv() {
                Ok(floors) => self.settled(&floors),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.feed = None;
                    return false;
                }
            }
        }
    }

    fn settled(&mut self, floors: &[Commit]) {
        for floor in floors {
            if let Some(work) = self.partitions.get_mut(&floor.partition) {
                work.partition.settled(floor.offset);
            }
        }
    }

    /// The look that may be judged: everything has come that was sent before it.
    fn look_that_is_due(&mut self) -> Option<Look> {
        let ended = self.reading == Reading::Ended;
        let due = |(_, asked): &mut (Look, u64)| ended || self.line.is_answered(*asked);
        self.look.take_if(due).map(|(look, _)| look)
    }

    /// Something became of the connection over which messages come.
    fn arrived(&mut self, arrived: &Arrived) {
        match (arrived, self.reading) {
            (Arrived::Some, Reading::Draining(left)) if !self.line.is_answered(left) => {}
            (_, Reading::Draining(_)) => self.reading = Reading::Ended,
            (Arrived::Some, _) => {}
            (Arrived::Opened, _) => self.reopened(),
            (Arrived::Lost(trouble), _) => {
                self.condition
                    .degraded("messages' way", trouble.to_string());
            }
        }
    }

    /// What was asked for over the old connection never comes, and what came of it may not be all.
    fn reopened(&mut self) {
        self.condition.recovered("messages' way");
        let now = self.now();
        for work in self.partitions.values_mut() {
            work.pull.reset(now);
            work.quiet_since = now;
            work.partition.reconnected(now);
        }
    }

    /// The confirmations of an old connection never come, and its server may have died and forgotten some of what it did.
    fn reconnected(&mut self) {
        let number = self.link.number();
        if number == self.connection {
            return;
        }
        self.connection = number;
        tracing::warn!("connected to NATS anew");
        self.condition.recovered("broker");
        let now = self.now();
        for work in self.partitions.values_mut() {
            work.unconfirmed(&self.metrics);
            work.partition.reconnected(now);
        }
    }

    /// How long to wait when nothing comes.
    fn pause(&self) -> Duration {
        let held = |work: &Work| work.partition.open() > 0 || !work.partition.is_confirmed();
        Duration::from_millis(match () {
            () if self.waiting.0 > 0 => 1,
            () if self.partitions.values().any(held) => 2,
            () => 20,
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
        let sent = self
            .client
            .publish(subject, bytes::Bytes::from_static(payload));
        sent.await.map_err(|error| lost(&error))
    }
}

fn still(open: bool) -> Result<(), Fatal> {
    match open {
        true => Ok(()),
        false => Err(lost(&"its subscription was closed")),
    }
}

/// What stands behind an inbox in a subject, without the dot between them.
fn behind<'a>(inbox: &str, subject: &'a str) -> Option<&'a str> {
    subject.strip_prefix(inbox)?.strip_prefix('.')
}

/// Waits for messages of the driver and takes all that came; false if none will come any more. What it took is not lost when it
/// is dropped.
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
