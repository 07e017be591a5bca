//! NATS: the members share one consumer. Which messages are acknowledged is found by having all others delivered again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::Subject;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use hookflow::source::nats;
use hookflow::source::nats::NatsConfig;
use hookflow::source::nats::config::{ConnectionConfig, Login, Secret, StreamStorage};

use super::broker::{Broker, Message, Standing};
use super::members::LIMIT;
use super::stack::Stack;
use crate::process;

/// What the members let pass before the server delivers again.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// The tests' NATS.
pub struct Nats;

fn config(stack: &Stack, name: &str) -> NatsConfig {
    let long = Duration::from_secs(600);
    NatsConfig {
        connection: ConnectionConfig {
            servers: Secret::new(stack.variable("HOOKFLOW_NATS_URL").to_owned()),
            login: Login::None,
            tls_required: false,
            ca_file: None,
            certificate: None,
        },
        stream: name.to_owned(),
        subject: name.to_owned(),
        consumer: name.to_owned(),
        partitions: None,
        open_max: 2,
        in_flight_events_max: 1,
        ack_wait: ACK_WAIT,
        lease_max: long,
        batch_messages: 1,
        batch_bytes: 1,
        stall_limit: long,
        storage: StreamStorage {
            max_age: long,
            replicas: 1,
            duplicate_window: long,
        },
    }
}

fn taken(message: &async_nats::jetstream::Message) -> Message {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let text = |values: &[async_nats::HeaderValue]| values[0].as_str().to_owned();
    Message {
        partition: 0,
        position: message.info().unwrap().stream_sequence,
        headers: headers
            .map(|(name, values)| (name.to_string(), text(values)))
            .collect(),
        body: message.payload.to_vec(),
    }
}

impl Broker for Nats {
    fn service(&self) -> &'static str {
        "nats"
    }

    fn environment(&self, stack: &Stack, name: &str) -> Vec<(&'static str, String)> {
        let url = stack.variable("HOOKFLOW_NATS_URL").to_owned();
        vec![
            ("HOOKFLOW_SOURCE_LIVE", "nats".to_owned()),
            ("HOOKFLOW_NATS_URL", url),
            ("HOOKFLOW_NATS_STREAM", name.to_owned()),
            ("HOOKFLOW_NATS_SUBJECT", name.to_owned()),
            ("HOOKFLOW_NATS_CONSUMER", name.to_owned()),
            ("HOOKFLOW_NATS_ACK_WAIT", format!("{}s", ACK_WAIT.as_secs())),
        ]
    }

    fn member(&self, _name: &str, _number: usize) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn patience(&self) -> Duration {
        ACK_WAIT
    }

    fn standing(&self, stack: &Stack, name: &str) -> Option<Standing> {
        let config = config(stack, name);
        let found = nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&config.connection, |_| {}).await;
            let context = async_nats::jetstream::new(client.ok()?);
            nats::stream::find(&context, &config).await.ok()
        })?;
        let consumer = found.consumer(&config.consumer)?;
        let open = consumer.num_pending + consumer.num_ack_pending as u64;
        Some(Standing {
            floors: [(0, consumer.ack_floor.stream_sequence + 1)].into(),
            open,
            // Looked at before the consumer was: at least so many.
            acknowledged: found.stream.state.messages.saturating_sub(open),
        })
    }

    fn unacknowledged(&self, stack: &Stack, name: &str) -> Option<BTreeSet<u64>> {
        let config = config(stack, name);
        let open = nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&config.connection, |_| {}).await;
            let client = client.ok().unwrap();
            let stream = async_nats::jetstream::new(client.clone())
                .get_stream(name)
                .await
                .unwrap();
            let mut consumer: PullConsumer = stream.get_consumer(name).await.unwrap();
            let info = consumer.info().await.unwrap();
            let count = usize::try_from(info.num_pending).unwrap() + info.num_ack_pending;
            let mut open = BTreeMap::new();
            let deadline = Instant::now() + LIMIT;
            let mut extended = Instant::now();
            while open.len() < count {
                assert!(Instant::now() < deadline, "{} of {count} came", open.len());
                // What has come already must not come again before the rest.
                if extended.elapsed() > ACK_WAIT / 4 {
                    extended = Instant::now();
                    for reply in open.values() {
                        let sent = client.publish(Subject::clone(reply), "+WPI".into()).await;
                        sent.unwrap();
                    }
                    client.flush().await.unwrap();
                }
                let fetch = consumer.fetch().max_messages(1_000).messages().await;
                let mut fetched = fetch.unwrap();
                while let Some(Ok(message)) = fetched.next().await {
                    let sequence = message.info().unwrap().stream_sequence;
                    open.insert(sequence, message.reply.clone().unwrap());
                }
                process::pause(Duration::from_millis(50));
            }
            // They go back to the members.
            for reply in open.values() {
                let sent = client.publish(reply.clone(), "-NAK".into()).await;
                sent.unwrap();
            }
            client.flush().await.unwrap();
            open.into_keys().collect()
        });
        Some(open)
    }

    fn messages(&self, stack: &Stack, name: &str) -> Vec<Message> {
        let config = config(stack, name);
        nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&config.connection, |_| {}).await;
            let context = async_nats::jetstream::new(client.ok().unwrap());
            let stream = context.get_stream(name).await.unwrap();
            let last = stream.cached_info().state.last_sequence;
            let consumer = pull::Config {
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::None,
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(consumer).await.unwrap();
            let mut arriving = consumer.messages().await.unwrap();
            let mut messages: Vec<Message> = Vec::new();
            while messages.last().is_none_or(|known| known.position < last) && last > 0 {
                messages.push(taken(&arriving.next().await.unwrap().unwrap()));
            }
            stream
                .delete_consumer(&consumer.cached_info().name)
                .await
                .unwrap();
            messages
        })
    }
}
