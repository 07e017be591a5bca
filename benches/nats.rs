//! Reading from NATS: what a message costs, on the thread that reads and on the workers, against the client library alone.
//!
//! Needs `HOOKFLOW_NATS_URL` (see `scripts/stack`); without it nothing is measured. `HOOKFLOW_BENCH_MESSAGES` messages (1,000,000)
//! of about 1 KB with our headers are published once to a stream of their own, then read several times with everything
//! settled at once. CPU is user and system; `reader` is the thread of the source, `all` the whole process.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark: it stops at the first error"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hookflow::event::{Delivery, Headers, Millis, Provider, User};
use hookflow::metrics::Metrics;
use hookflow::source::message::parse;
use hookflow::source::nats::config::{ConnectionConfig, Login, NatsConfig, Secret, StreamStorage};
use hookflow::source::nats::publisher::{NatsMessage, publish};
use hookflow::source::nats::{NatsSource, runtime, setup};
use hookflow::source::pace::Pace;
use hookflow::source::{Commit, EnvelopeDefaults, Record, RecordSender, Source, SourceContext};
use rustix::time::{ClockId, clock_gettime};

const STREAM: &str = "hookflow_bench";
const RUNS: usize = 3;

fn main() {
    let Ok(url) = std::env::var("HOOKFLOW_NATS_URL") else {
        println!("SKIPPED nats: HOOKFLOW_NATS_URL is not set");
        return;
    };
    let messages =
        std::env::var("HOOKFLOW_BENCH_MESSAGES").map_or(1_000_000, |n| n.parse().unwrap());
    let config = config(&url);
    delete_stream(&config);
    setup(&config).unwrap();
    println!(
        "publishing {messages} messages: {}",
        published(&config, messages)
    );
    println!(
        "{:32} {:>10} {:>14} {:>14}",
        "", "messages/s", "reader us", "all us"
    );
    for _ in 0..RUNS {
        client_alone(&config, messages).print("the client library alone");
        read(&url, messages, false).print("the source, all acknowledged");
        read(&url, messages, true).print("the source, and messages parsed");
    }
    delete_stream(&config);
}

fn config(url: &str) -> NatsConfig {
    NatsConfig {
        connection: ConnectionConfig {
            servers: Secret::new(url.into()),
            login: Login::None,
            tls_required: false,
            ca_file: None,
            certificate: None,
        },
        stream: STREAM.into(),
        subject: "hookflow_bench".into(),
        consumer: "bench".into(),
        partitions: None,
        open_max: 400_000,
        in_flight_events_max: 100_000,
        ack_wait: Duration::from_secs(10),
        lease_max: Duration::from_secs(60),
        batch_messages: 1_000,
        batch_bytes: 8 << 20,
        stall_limit: Duration::from_secs(30),
        storage: StreamStorage {
            max_age: Duration::from_secs(86_400),
            replicas: 1,
            duplicate_window: Duration::from_secs(120),
        },
    }
}

fn delivery(number: u64) -> Delivery {
    let headers = r#"{"content-type":"application/json","user-agent":"Amazon Simple Notification Service Agent","x-amz-sns-message-type":"Notification","x-amz-sns-topic-arn":"arn:aws:sns:eu-west-1:123456789012:ses-events","accept-encoding":"gzip,deflate"}"#;
    Delivery {
        provider: Provider::new("ses"),
        user: User::new(format!("tenant-{}", number % 1_000)),
        method: "POST".into(),
        url: "https://hooks.example.com/v1/webhooks/ses?source=sns".into(),
        headers: Headers::from_json(headers.into()),
        body: format!("{{\"n\":{number},\"filler\":\"{}\"}}", "x".repeat(750)).into(),
        received_at: Millis(1_772_460_000_000),
        ..Delivery::default()
    }
}

fn published(config: &NatsConfig, messages: u64) -> String {
    let begun = Instant::now();
    let all = (0..messages).map(|number| {
        NatsMessage::delivery(&config.subject, &number.to_string(), &delivery(number))
    });
    let published = publish(&config.connection, all, Pace::default()).unwrap();
    format!("{published:?} in {:?}", begun.elapsed())
}

struct Cost {
    messages: u64,
    wall: Duration,
    reader: Duration,
    all: Duration,
}

impl Cost {
    fn print(&self, what: &str) {
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.messages as f64;
        println!(
            "{what:32} {:>10.0} {:>14.2} {:>14.2}",
            self.messages as f64 / self.wall.as_secs_f64(),
            each(self.reader),
            each(self.all)
        );
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The source with a job that settles everything at once.
fn read(url: &str, messages: u64, parsed: bool) -> Cost {
    let config = config(url);
    delete_consumer(&config);
    setup(&config).unwrap();
    let (records, taps) = RecordSender::channels(1, 8);
    let (settled, commits) = crossbeam_channel::unbounded();
    let context = SourceContext::new(records, commits, Metrics::new([]));
    let (stop, health) = (Arc::clone(&context.stop), context.health.clone());
    let (wall, all) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    let reader = std::thread::spawn(move || {
        let begun = cpu(ClockId::ThreadCPUTime);
        Box::new(NatsSource::new(config)).run(context).unwrap();
        cpu(ClockId::ThreadCPUTime) - begun
    });
    let defaults = EnvelopeDefaults {
        user: User::new("default"),
        provider: None,
        known: [Provider::new("ses")].into(),
    };
    let parcels = taps.workers.into_iter().next().unwrap();
    let mut left = messages;
    while left > 0 {
        let Ok(parcel) = parcels.recv_timeout(Duration::from_secs(60)) else {
            panic!(
                "{left} messages did not come: {:?} {:?}",
                health.problems(),
                health.take_failure()
            );
        };
        left -= parcel.records.len() as u64;
        for record in parcel.records.iter().filter(|_| parsed) {
            let Record::Message(message) = record else {
                continue;
            };
            parse(message, &defaults, 1 << 20).unwrap();
        }
        let floor = Commit {
            partition: parcel.partition,
            offset: parcel.end,
        };
        settled.send(vec![floor]).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    drop((settled, parcels));
    Cost {
        messages,
        reader: reader.join().unwrap(),
        wall: wall.elapsed(),
        all: cpu(ClockId::ProcessCPUTime) - all,
    }
}

/// The same messages pulled from one consumer through a bare subscription of the library, and dropped.
fn client_alone(config: &NatsConfig, messages: u64) -> Cost {
    let (wall, all) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    let begun = cpu(ClockId::ThreadCPUTime);
    runtime().unwrap().block_on(async {
        let options = async_nats::ConnectOptions::new()
            .subscription_capacity(1 << 20)
            .read_buffer_capacity(u16::MAX);
        let client = options
            .connect(config.connection.servers.reveal())
            .await
            .unwrap();
        let context = async_nats::jetstream::new(client.clone());
        let config = async_nats::jetstream::consumer::pull::Config {
            name: Some("alone".into()),
            ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
            inactive_threshold: Duration::from_secs(60),
            ..Default::default()
        };
        context
            .create_consumer_on_stream(config, STREAM)
            .await
            .unwrap();
        let inbox = client.new_inbox();
        let mut subscriber = client.subscribe(inbox.clone()).await.unwrap();
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.alone");
        let (mut left, mut asked) = (messages, 0_u64);
        while left > 0 {
            while asked < 4_000 {
                let request = r#"{"batch":1000,"expires":10000000000}"#;
                client
                    .publish_with_reply(next.clone(), inbox.clone(), request.into())
                    .await
                    .unwrap();
                asked += 1_000;
            }
            let message = subscriber.next().await.unwrap();
            if message.status.is_none() {
                left -= 1;
                asked -= 1;
            }
        }
        context
            .delete_consumer_from_stream("alone", STREAM)
            .await
            .unwrap();
    });
    Cost {
        messages,
        reader: cpu(ClockId::ThreadCPUTime) - begun,
        wall: wall.elapsed(),
        all: cpu(ClockId::ProcessCPUTime) - all,
    }
}

fn delete_consumer(config: &NatsConfig) {
    manage(config, async |context| {
        let deleted = context.delete_consumer_from_stream(&config.consumer, STREAM);
        deleted.await.ok();
    });
}

fn delete_stream(config: &NatsConfig) {
    manage(config, async |context| {
        context.delete_stream(STREAM).await.ok();
    });
}

fn manage(config: &NatsConfig, what: impl AsyncFnOnce(async_nats::jetstream::Context)) {
    runtime().unwrap().block_on(async {
        let client = async_nats::connect(config.connection.servers.reveal())
            .await
            .unwrap();
        what(async_nats::jetstream::new(client)).await;
    });
}
