//! The driver's callbacks: events wait here until the source's thread handles them.
//!
//! Rebalances are only noted here, never carried out: the driver waits, sending heartbeats, until partitions are assigned or
//! given up by a call, so that what was handed out of them can settle before they go. The driver's own texts name addresses,
//! so only their codes are kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::bindings::rd_kafka_resp_err_t as Response;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;

/// A consumer that keeps its events.
pub type Consumer = BaseConsumer<KafkaContext>;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// Its number.
    pub number: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// What happened to a consumer.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// The group gives these partitions to us.
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away.
    Revoked(Vec<TopicPartition>),
    /// Something is wrong with the client as a whole.
    Error(RDKafkaErrorCode),
    /// What the client knows of the brokers.
    Status(ClusterStatus),
}

/// What the client knows of the brokers.
#[derive(Debug, Default)]
pub struct ClusterStatus {
    /// Whether any broker can be reached.
    pub is_reachable: bool,
    /// Where each partition ends.
    pub ends: HashMap<TopicPartition, u64>,
}

/// The client's callbacks.
#[derive(Debug, Default)]
pub struct KafkaContext {
    events: Mutex<VecDeque<ConsumerEvent>>,
    closing: AtomicBool,
    has_hung_up: AtomicBool,
    /// A broker was reached at some time.
    reached: AtomicBool,
}

impl KafkaContext {
    /// The oldest event that was not handled.
    pub fn next(&self) -> Option<ConsumerEvent> {
        self.lock().pop_front()
    }

    /// The errors among the events.
    pub fn errors(&self) -> Vec<RDKafkaErrorCode> {
        let mut errors = Vec::new();
        self.lock().retain(|event| match event {
            ConsumerEvent::Error(code) => {
                errors.push(*code);
                false
            }
            _ => true,
        });
        errors
    }

    /// Whether a broker hung up before it took anything of us, and none was reached since: as one does that starts, and one
    /// that wants TLS or a login.
    pub fn has_hung_up(&self) -> bool {
        self.has_hung_up.load(Ordering::Relaxed)
    }

    /// The consumer is to be closed: from now on partitions are given up at once.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether a connection failed over TLS, of which the code says nothing: the broker refused our certificate, or hung up
    /// instead of greeting, as one without TLS does. One that was reached before may only have ended at that moment.
    fn is_tls(&self, reason: &str) -> bool {
        let refused = reason.contains("SSL routines") && reason.contains(" alert ");
        let no_tls = reason.contains("SSL handshake failed: Disconnected");
        refused || (no_tls && !self.reached.load(Ordering::Relaxed))
    }

    fn push(&self, event: ConsumerEvent) {
        self.lock().push_back(event);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<ConsumerEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for KafkaContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if is_hang_up(message) {
            self.has_hung_up.store(true, Ordering::Relaxed);
        }
        tracing::debug!(?level, facility, "the Kafka client");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice::<Statistics>(statistics) {
            Ok(statistics) => {
                let status = statistics.status();
                if status.is_reachable {
                    self.has_hung_up.store(false, Ordering::Relaxed);
                    self.reached.store(true, Ordering::Relaxed);
                }
                self.push(ConsumerEvent::Status(status));
            }
            Err(_) => tracing::debug!("the Kafka client's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure) if self.is_tls(reason) => {
                RDKafkaErrorCode::SSL
            }
            code => code.unwrap_or(RDKafkaErrorCode::Unknown),
        };
        self.push(ConsumerEvent::Error(code));
    }
}

impl ConsumerContext for KafkaContext {
    fn rebalance(&self, consumer: &Consumer, what: Response, list: &mut TopicPartitionList) {
        let assigned = what == Response::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        match (self.closing.load(Ordering::Relaxed), assigned) {
            (false, true) => self.push(ConsumerEvent::Assigned(partitions(list))),
            (false, false) => self.push(ConsumerEvent::Revoked(partitions(list))),
            (true, true) => drop(consumer.incremental_assign(list)),
            (true, false) => drop(consumer.incremental_unassign(list)),
        }
    }
}

/// Whether the driver's log tells of a connection that a broker ended right after it began, which no error does.
fn is_hang_up(text: &str) -> bool {
    let after = text.rsplit_once("(after ").map(|(_, after)| after);
    let Some((millis, state)) = after.and_then(|after| after.split_once("ms in state ")) else {
        return false;
    };
    let young = millis.parse().is_ok_and(|millis: u64| millis < 2_000);
    let greeted = state.starts_with("APIVERSION_QUERY") || state.starts_with("UP");
    text.contains("Disconnected") && young && greeted
}

/// The partitions of a list.
pub fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(topic_partition).collect()
}

/// The partition of an element of a list.
pub fn topic_partition(
    element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
) -> TopicPartition {
    TopicPartition {
        topic: element.topic().to_owned(),
        number: element.partition(),
    }
}

/// The offsets of a list; partitions that have none, or an error, are left out.
pub fn offsets(list: &TopicPartitionList) -> HashMap<TopicPartition, u64> {
    let elements = list.elements();
    let offset = elements.iter().filter_map(|element| {
        element.error().ok()?;
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some((topic_partition(element), u64::try_from(offset).ok()?))
    });
    offset.collect()
}

/// A list of partitions, each with an offset if it has one.
pub fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, Option<u64>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.number);
        let offset = offset.and_then(|offset| i64::try_from(offset).ok());
        if let Some(offset) = offset
            && element.set_offset(Offset::Offset(offset)).is_err()
        {
            tracing::debug!(offset, "an offset that cannot be");
        }
    }
    list
}

/// What is wanted of the driver's statistics.
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    hi_offset: i64,
}

impl Statistics {
    fn status(self) -> ClusterStatus {
        let mut status = ClusterStatus {
            is_reachable: self.brokers.values().any(|broker| broker.state == "UP"),
            ..ClusterStatus::default()
        };
        for (topic, partitions) in self.topics {
            for (number, partition) in partitions.partitions {
                // One that is not known is negative, and so is the partition that stands for none.
                if let Ok(end) = u64::try_from(partition.hi_offset) {
                    let topic = topic.clone();
                    status.ends.insert(TopicPartition { topic, number }, end);
                }
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_hangs_up_is_known_by_the_log_until_one_is_reached() {
        let context = KafkaContext::default();
        let log = |text: &str| context.log(RDKafkaLogLevel::Info, "FAIL", text);
        for other in [
            "a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: KafkaConnection refused (after 0ms in state CONNECT)",
            "a:1/1: Disconnected: connection closed by peer (after 64000ms in state UP)",
            "(after ms in state ",
        ] {
            log(other);
            assert!(!context.has_hung_up(), "{other}");
        }
        for hang_up in [
            "a:1/bootstrap: Disconnected: connection closed by peer (after 3ms in state APIVERSION_QUERY)",
            "a:1/bootstrap: Disconnected: connection reset by peer (after 7ms in state UP, 3 identical error(s) suppressed)",
        ] {
            log(hang_up);
            assert!(context.has_hung_up(), "{hang_up}");
            context.stats_raw(br#"{"brokers":{"a":{"state":"UP"}}}"#);
            assert!(!context.has_hung_up());
        }
    }

    #[test]
    fn what_fails_over_tls_is_known_whatever_its_code_says() {
        let context = KafkaContext::default();
        let meant = |reason: &str| {
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            context.error(KafkaError::Global(code), reason);
            context.errors()
        };
        let alert = "a:1: Receive failed: ssl/record/rec_layer_s3.c:916:error:0A00045C:SSL routines::tlsv13 alert certificate required";
        let plain = "a:1: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 2ms in state SSL_HANDSHAKE)";
        let ended =
            "a:1: Receive failed: error:0A000126:SSL routines::unexpected eof while reading";
        let failure = RDKafkaErrorCode::BrokerTransportFailure;
        assert_eq!(meant(alert), [RDKafkaErrorCode::SSL]);
        assert_eq!(meant(plain), [RDKafkaErrorCode::SSL]);
        assert_eq!(meant(ended), [failure]);
        context.stats_raw(br#"{"brokers":{"a":{"state":"UP"}}}"#);
        assert_eq!(meant(plain), [failure], "it was reached before");
        assert_eq!(meant(alert), [RDKafkaErrorCode::SSL]);
    }

    #[test]
    fn statistics_say_who_can_be_reached_and_where_partitions_end() {
        let text = br#"{"name":"x","brokers":{"a:1/1":{"state":"UP","nodeid":1},"b":{"state":"DOWN"}},"topics":{"t":{"topic":"t",
            "partitions":{"0":{"hi_offset":7},"-1":{"hi_offset":-1001}}}}}"#;
        let context = KafkaContext::default();
        context.stats_raw(text);
        let Some(ConsumerEvent::Status(status)) = context.next() else {
            panic!("nothing is known");
        };
        assert!(status.is_reachable);
        let partition = TopicPartition {
            topic: "t".into(),
            number: 0,
        };
        assert_eq!(status.ends.get(&partition), Some(&7));
        assert_eq!(status.ends.len(), 1);
    }
}
