//! A job around a source, in which the test decides what settles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use hookflow::error::Fatal;
use hookflow::metrics::{Counter, Metrics};
use hookflow::source::kafka::KafkaSource;
use hookflow::source::nats::NatsSource;
use hookflow::source::{
    Commit, PartitionEvent, Record, RecordSender, Records, Source, SourceContext, SourceHealth,
    kafka, nats,
};

use super::wait::{LIMIT, until};

/// Settings that make a live source.
pub trait Live {
    fn source(&self) -> Box<dyn Source>;
}

impl Live for nats::Settings {
    fn source(&self) -> Box<dyn Source> {
        Box::new(NatsSource::new(self.clone()))
    }
}

impl Live for kafka::KafkaConfig {
    fn source(&self) -> Box<dyn Source> {
        Box::new(KafkaSource::new(self.clone()))
    }
}

/// A running source.
pub struct Job {
    parcels: Receiver<Records>,
    partition_events: Receiver<PartitionEvent>,
    settled: Sender<Vec<Commit>>,
    stop: Arc<AtomicBool>,
    pub health: SourceHealth,
    pub metrics: Arc<Metrics>,
    thread: JoinHandle<()>,
    /// Where the last parcel of each partition ended.
    ends: BTreeMap<u32, u64>,
}

impl Job {
    /// Reads what these settings name.
    pub fn start(settings: &impl Live) -> Self {
        Self::with(settings.source(), 256)
    }

    /// Any source, over a channel of so many parcels.
    pub fn with(source: Box<dyn Source>, depth: usize) -> Self {
        let (records, taps) = RecordSender::channels(1, depth);
        let (settled, commits) = crossbeam_channel::unbounded();
        let metrics = Metrics::new([]);
        let context = SourceContext::new(records, commits, Arc::clone(&metrics));
        let (stop, health) = (Arc::clone(&context.stop), context.health.clone());
        let failed = health.clone();
        let run = move || {
            if let Err(fatal) = source.run(context) {
                failed.fail(fatal);
            }
        };
        Self {
            parcels: taps.workers.into_iter().next().unwrap(),
            partition_events: taps.partition_events,
            settled,
            stop,
            health,
            metrics,
            thread: std::thread::spawn(run),
            ends: BTreeMap::new(),
        }
    }

    /// The next parcel, which must begin where the partition's last one ended; none if none comes within that time.
    pub fn next(&mut self, time: Duration) -> Option<Records> {
        let parcel = self.parcels.recv_timeout(time).ok()?;
        if let Some(end) = self.ends.insert(parcel.partition, parcel.end) {
            assert_eq!(
                parcel.start, end,
                "partition {} has a gap, or goes back",
                parcel.partition
            );
        }
        Some(parcel)
    }

    /// Records until so many messages came.
    pub fn take(&mut self, messages: usize) -> Vec<Records> {
        let (mut parcels, mut count) = (Vec::new(), 0);
        let begun = Instant::now();
        while count < messages {
            let parcel = self.next(LIMIT.saturating_sub(begun.elapsed()));
            let parcel = parcel.unwrap_or_else(|| {
                panic!("{count} messages came, not {messages}: {:?}", self.says())
            });
            count += parcel.records.len();
            parcels.push(parcel);
        }
        parcels
    }

    /// Nothing comes for so long.
    pub fn is_quiet(&mut self, time: Duration) {
        let parcel = self.next(time);
        assert!(
            parcel.is_none(),
            "a message came that nobody expected: {:?}",
            numbers(parcel.iter())
        );
    }

    /// Everything of a partition before `offset` is durable.
    pub fn settle(&self, partition: u32, offset: u64) {
        self.settled
            .send(vec![Commit { partition, offset }])
            .unwrap();
    }

    /// Everything in these parcels is durable.
    pub fn settle_all(&self, parcels: &[Records]) {
        parcels
            .iter()
            .for_each(|parcel| self.settle(parcel.partition, parcel.end));
    }

    pub fn count(&self, what: Counter) -> u64 {
        self.metrics.get(what)
    }

    /// The source's partition_events so far.
    pub fn partition_events(&self) -> Vec<PartitionEvent> {
        self.partition_events.try_iter().collect()
    }

    fn says(&self) -> (Vec<String>, Option<Fatal>) {
        (self.health.problems(), self.health.take_failure())
    }

    /// Waits until it says what is wrong in such words.
    pub fn says_in_time(&self, words: &str) -> String {
        let mut said = None;
        until(&format!("the source says {words:?}"), || {
            let troubles = self.health.problems();
            said = troubles.into_iter().find(|trouble| trouble.contains(words));
            said.is_some()
        });
        said.unwrap()
    }

    /// Waits until nothing is wrong.
    pub fn is_well_in_time(&self) {
        until("the source is well again", || {
            self.health.problems().is_empty()
        });
    }

    /// Waits until it has failed by itself.
    pub fn fails_in_time(self) -> Fatal {
        until("the source ends", || self.thread.is_finished());
        self.thread.join().unwrap();
        self.health
            .take_failure()
            .expect("it ended without a reason")
    }

    /// Asks for nothing more, and ends when its acknowledgements are confirmed.
    pub fn end(self) -> Option<Fatal> {
        self.stop.store(true, Ordering::Relaxed);
        drop((self.settled, self.parcels));
        until("the source ends", || self.thread.is_finished());
        self.thread.join().unwrap();
        self.health.take_failure()
    }
}

/// The numbers that stand in the messages of parcels, in order.
pub fn numbers<'a>(parcels: impl IntoIterator<Item = &'a Records>) -> Vec<u64> {
    let records = parcels.into_iter().flat_map(|parcel| &parcel.records);
    records.map(number).collect()
}

fn number(record: &Record) -> u64 {
    let Record::Message(message) = record else {
        panic!("{record:?}")
    };
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

/// The same, each once and sorted; a number that came twice is an error.
pub fn distinct<'a>(parcels: impl IntoIterator<Item = &'a Records>) -> Vec<u64> {
    let mut all = numbers(parcels);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a message was handed out twice");
    all
}
