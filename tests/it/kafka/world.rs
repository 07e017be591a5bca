//! A topic and a group of a test's own, and the test's own view of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hookflow::error::{Exit, Fatal};
use hookflow::event::{Delivery, Provider, User};
use hookflow::source::PartitionEvent;
use hookflow::source::kafka::config::{
    KafkaConfig, KafkaConnection, OnLost, Secret, StartOffset, Topic, TopicConfig,
};
use hookflow::source::kafka::publisher::publish;
use hookflow::source::kafka::setup;
use hookflow::source::outgoing::OutgoingMessage;
use hookflow::source::pace::Pace;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::job::Job;
use super::wait::{LIMIT, until};
use crate::skip::skipped_server;

/// A connection that says nothing of who we are.
pub fn plain(brokers: &str) -> KafkaConnection {
    KafkaConnection {
        brokers: Secret::new(brokers.into()),
        tls: false,
        ca_file: None,
        certificate: None,
        login: None,
    }
}

/// KafkaConfig of a topic that nothing else uses.
pub fn settings(connection: KafkaConnection) -> KafkaConfig {
    let name = format!("it_{:016x}", rand::random::<u64>());
    KafkaConfig {
        connection,
        topics: vec![Topic::parse(&name).unwrap()],
        group: name,
        member: None,
        partitions: None,
        start: StartOffset::Earliest,
        on_lost: OnLost::Stop,
        session_timeout: Duration::from_secs(3),
        poll_interval_max: LIMIT,
        revoke_deadline: LIMIT / 2,
        queue_bytes: 64 << 20,
        storage: TopicConfig {
            partitions: 8,
            replicas: 1,
            max_age: Duration::from_secs(3_600),
        },
    }
}

/// A topic, gone when it is dropped.
pub struct World {
    pub settings: KafkaConfig,
    brokers: String,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    /// Asks for commits, and is no member.
    asking: BaseConsumer,
}

/// The brokers of the stack; none without them, which is said loudly.
pub fn brokers(test: &str) -> Option<String> {
    let found = std::env::var("HOOKFLOW_KAFKA_BROKERS").ok();
    if found.is_none() {
        skipped_server(&format!(
            "kafka {test}: HOOKFLOW_KAFKA_BROKERS is not set (see scripts/stack)"
        ));
    }
    found
}

/// Whether it is done; a broker that has just started may not answer in time.
pub fn in_time<T>(done: Result<T, Fatal>) -> bool {
    match done {
        Ok(_) => true,
        Err(failure) if failure.exit == Exit::Unfinished => false,
        Err(failure) => panic!("{failure}"),
    }
}

impl World {
    /// On the broker of the stack; none without it, which is said loudly.
    pub fn new(test: &str) -> Option<Self> {
        Some(Self::on(&brokers(test)?))
    }

    /// On that broker.
    pub fn on(brokers: &str) -> Self {
        let settings = settings(plain(brokers));
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("group.id", &settings.group)
            .set("reconnect.backoff.max.ms", "500");
        Self {
            brokers: brokers.to_owned(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            admin: config.create().unwrap(),
            asking: config.create().unwrap(),
            settings,
        }
    }

    /// With the topic made, of so many partitions.
    pub fn set_up(mut self, partitions: usize) -> Self {
        self.settings.storage.partitions = partitions;
        until("the topic is made", || in_time(setup(&self.settings)));
        self
    }

    pub fn topic(&self) -> &str {
        &self.settings.topics[0].name
    }

    /// Publishes the messages of these numbers, each by its tenant.
    pub fn publish(&self, numbers: std::ops::Range<u64>) {
        let count = numbers.end - numbers.start;
        let published = publish(&self.settings, numbers.map(message), Pace::default());
        assert_eq!(published.unwrap().messages, count);
    }

    /// Publishes them to one partition; `at` is what their clock says, where it is not the broker's.
    pub fn publish_to(&self, partition: i32, numbers: std::ops::Range<u64>, at: Option<i64>) {
        self.send(partition, numbers.map(|number| number.to_string()), at);
    }

    /// Publishes bodies to one partition.
    pub fn send(
        &self,
        partition: i32,
        bodies: impl IntoIterator<Item = impl Into<Vec<u8>>>,
        at: Option<i64>,
    ) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true");
        let producer: BaseProducer = config.create().unwrap();
        for body in bodies {
            let body: Vec<u8> = body.into();
            let record = BaseRecord::<(), [u8]>::to(self.topic())
                .partition(partition)
                .payload(&body);
            let record = match at {
                Some(at) => record.timestamp(at),
                None => record,
            };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    fn list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let partitions = i32::try_from(self.settings.storage.partitions).unwrap();
        list.add_partition_range(self.topic(), 0, partitions - 1);
        list
    }

    /// What the group has committed, as the broker says.
    pub fn committed(&self) -> BTreeMap<i32, u64> {
        let mut answered = None;
        until("the broker tells what is committed", || {
            answered = self.asking.committed_offsets(self.list(), LIMIT).ok();
            answered.is_some()
        });
        let answered = answered.unwrap();
        let committed = answered
            .elements()
            .into_iter()
            .filter_map(|one| match one.offset() {
                Offset::Offset(at) => Some((one.partition(), u64::try_from(at).unwrap())),
                _ => None,
            });
        committed.collect()
    }

    /// Where each partition ends.
    pub fn ends(&self) -> BTreeMap<i32, u64> {
        let partitions = i32::try_from(self.settings.storage.partitions).unwrap();
        let ends = (0..partitions).map(|number| {
            let ends = self.asking.fetch_watermarks(self.topic(), number, LIMIT);
            (number, u64::try_from(ends.unwrap().1).unwrap())
        });
        ends.collect()
    }

    /// Everything is committed.
    pub fn is_committed(&self) -> bool {
        self.committed() == self.ends()
    }

    /// Commits in the group's name, which no member may be at work for.
    pub fn commit(&self, partition: i32, at: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic(), partition, Offset::Offset(at))
            .unwrap();
        self.asking.commit(&list, CommitMode::Sync).unwrap();
    }

    /// How many members the group has, and whether it stands still.
    pub fn group(&self) -> (usize, String) {
        let group = &self.settings.group;
        let groups = self.asking.fetch_group_list(Some(group), LIMIT).unwrap();
        let mut found = groups.groups().iter().filter(|one| one.name() == group);
        let found = found.next();
        found.map_or((0, String::new()), |one| {
            (one.members().len(), one.state().to_owned())
        })
    }

    /// Drops the messages of a partition before an offset.
    pub fn drop_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic(), partition, Offset::Offset(offset))
            .unwrap();
        let options = AdminOptions::new();
        let dropped = self.admin.delete_records(&list, &options);
        let answered = self.runtime.block_on(dropped).unwrap();
        answered.elements()[0].error().unwrap();
    }

    /// Gives the topic more partitions.
    pub fn grow(&mut self, partitions: usize) {
        let wanted = NewPartitions::new(self.topic(), partitions);
        let options = AdminOptions::new();
        let grown = self.admin.create_partitions([&wanted], &options);
        let answered = self.runtime.block_on(grown).unwrap();
        answered[0].as_ref().unwrap();
        self.settings.storage.partitions = partitions;
        until("the partitions are known", || {
            let metadata = self.asking.fetch_metadata(Some(self.topic()), LIMIT);
            metadata.unwrap().topics()[0].partitions().len() == partitions
        });
    }

    /// Deletes the topic.
    pub fn delete_topic(&self) {
        let options = AdminOptions::new();
        let deleted = self.admin.delete_topics(&[self.topic()], &options);
        self.runtime.block_on(deleted).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let options = AdminOptions::new();
        let deleted = self.admin.delete_topics(&[self.topic()], &options);
        let limited = async { tokio::time::timeout(Duration::from_secs(5), deleted).await };
        drop(self.runtime.block_on(limited));
    }
}

/// A message whose body is its number, of one of a hundred tenants.
pub fn message(number: u64) -> OutgoingMessage {
    let delivery = Delivery {
        provider: Provider::new("ses"),
        user: User::new(format!("tenant {}", number % 100)),
        method: "POST".into(),
        body: number.to_string().into(),
        ..Delivery::default()
    };
    OutgoingMessage::delivery(number.to_string(), delivery)
}

/// Partitions that a job began with since it was asked last: partition, number and offset.
pub fn begun(job: &Job) -> Vec<(u32, i32, u64)> {
    let begun = job
        .partition_events()
        .into_iter()
        .filter_map(|notice| match notice {
            PartitionEvent::Begins {
                partition,
                name,
                offset,
                ..
            } => {
                let (_, number) = name.rsplit_once('/').unwrap();
                Some((partition, number.parse().unwrap(), offset))
            }
            _ => None,
        });
    begun.collect()
}

/// Waits until it has begun with so many partitions.
pub fn begins_in_time(job: &Job, count: usize) -> Vec<(u32, i32, u64)> {
    let mut all = Vec::new();
    until(&format!("{count} partitions begin"), || {
        all.extend(begun(job));
        all.len() >= count
    });
    assert_eq!(all.len(), count, "{all:?}");
    all
}
