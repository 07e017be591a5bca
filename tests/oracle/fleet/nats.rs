//! NATS: each member has half of the partitions, and the consumer of a partition knows up to where it is acknowledged.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use hookflow::source::nats;
use hookflow::source::nats::settings::{Acknowledge, Connection, Login, Secret, Storage};

use super::broker::{Broker, Message, Standing};
use super::stack::Stack;

/// What the members let pass before the server delivers again.
const ACK_WAIT: Duration = Duration::from_secs(2);

/// The tests' NATS.
pub struct Nats;

fn settings(stack: &Stack, name: &str) -> nats::Settings {
    let long = Duration::from_secs(600);
    nats::Settings {
        connection: Connection {
            servers: Secret::new(stack.variable("HOOKFLOW_NATS_URL").to_owned()),
            login: Login::None,
            tls_required: false,
            ca_file: None,
            certificate: None,
        },
        stream: name.to_owned(),
        subject: name.to_owned(),
        consumer: name.to_owned(),
        partitions: nats::assign::Partitions::all(),
        acknowledge: Acknowledge::UpTo,
        ack_wait: ACK_WAIT,
        ack_pending_max: 1,
        batch_messages: 1,
        batch_bytes: 1,
        stall_limit: long,
        storage: Storage {
            max_age: long,
            replicas: 1,
            duplicate_window: long,
        },
    }
}

/// The partition of a subject, which stands behind the name.
fn partition(subject: &str) -> u32 {
    subject.split('.').nth(1).unwrap().parse().unwrap()
}

fn taken(message: &async_nats::jetstream::Message) -> Message {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let text = |values: &[async_nats::HeaderValue]| values[0].as_str().to_owned();
    Message {
        partition: partition(&message.subject),
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

    fn member(&self, _name: &str, number: usize) -> Vec<(&'static str, String)> {
        vec![("HOOKFLOW_NATS_LANES", format!("{}/2", number + 1))]
    }

    fn patience(&self) -> Duration {
        ACK_WAIT
    }

    fn standing(&self, stack: &Stack, name: &str) -> Option<Standing> {
        let settings = settings(stack, name);
        let found = nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&settings.connection, |_| {}).await;
            let context = async_nats::jetstream::new(client.ok()?);
            nats::stream::find(&context, &settings).await.ok()
        })?;
        let mut standing = Standing::default();
        for partition in settings.partitions.iter() {
            let consumer = found.consumer(&settings, partition)?;
            let floor = consumer.ack_floor.stream_sequence + 1;
            standing.floors.insert(partition, floor);
            standing.open += consumer.num_pending + consumer.num_ack_pending as u64;
        }
        // Looked at before the consumers were: at least so many.
        standing.acknowledged = found.stream.state.messages.saturating_sub(standing.open);
        Some(standing)
    }

    fn messages(&self, stack: &Stack, name: &str) -> Vec<Message> {
        let settings = settings(stack, name);
        nats::runtime().unwrap().block_on(async {
            let client = nats::connect::connect(&settings.connection, |_| {}).await;
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
