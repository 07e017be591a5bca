//! The registry of sources that `source.live` can name. A new broker is one line here, beside its folder in `source` and its
//! section of the configuration.

use super::Plan;
use crate::decode;
use crate::event::Provider;
use crate::source::EnvelopeDefaults;
use crate::source::connector::Connector;
use crate::source::file::connector::FileConnector;
use crate::source::kafka::KafkaConnector;
use crate::source::nats::NatsConnector;

/// The sources, each by its name in the configuration.
pub const LIVE_SOURCES: [LiveSource; 3] = [
    LiveSource::new("stdin", |plan| Box::new(standard_input(plan))),
    LiveSource::new("nats", |plan| {
        Box::new(NatsConnector::new(plan.nats.clone()))
    }),
    LiveSource::new("kafka", |plan| {
        Box::new(KafkaConnector::new(plan.kafka.clone()))
    }),
];

/// One source that `source.live` can name.
#[derive(Clone, Copy)]
pub struct LiveSource {
    name: &'static str,
    connect: fn(&Plan) -> Box<dyn Connector>,
}

impl LiveSource {
    const fn new(name: &'static str, connect: fn(&Plan) -> Box<dyn Connector>) -> Self {
        Self { name, connect }
    }

    /// Its name in the configuration.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is a broker, and not standard input.
    pub fn is_broker(&self) -> bool {
        *self != LIVE_SOURCES[0]
    }
}

impl PartialEq for LiveSource {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for LiveSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Plan {
    /// What `source.live` names.
    pub fn connector(&self) -> Box<dyn Connector> {
        (self.live.connect)(self)
    }

    /// What envelopes leave out; `provider` is the provider of deliveries that name none.
    pub fn envelope_defaults(&self, provider: Option<Provider>) -> EnvelopeDefaults {
        EnvelopeDefaults {
            user: self.default_user.clone(),
            provider,
            known: decode::providers().map(Provider::new).collect(),
        }
    }
}

fn standard_input(plan: &Plan) -> FileConnector {
    let body_bytes_max = plan.decode_options().body_bytes_max;
    FileConnector::standard_input(plan.envelope_defaults(None), body_bytes_max)
}
