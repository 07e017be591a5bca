//! `hookflow publish`: deliveries from files to the broker that `source.live` names, as an edge would publish them.
//!
//! The id under which the broker knows a repetition is made of the file's name and the line's place: publishing a file
//! again within the window of a stream of NATS adds nothing, while copies within a file stay copies. A topic of Kafka knows no
//! such ids: there everything is added again.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;

use super::args::{Common, PublishArgs};
use super::environment::{Environment, load};
use super::output::Output;
use crate::config::{Live, Plan};
use crate::decode;
use crate::error::{Exit, Fatal};
use crate::event::{Delivery, Origin, Provider};
use crate::observe::numbers::grouped;
use crate::runtime::Rate;
use crate::source::EnvelopeDefaults;
use crate::source::envelope::parse_line_of_any_provider;
use crate::source::file::open;
use crate::source::pace::Pace;
use crate::source::{kafka, nats};

/// Publishes every line of the files; returns when the broker has confirmed all of them.
pub fn publish(
    common: &Common,
    what: &PublishArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    let pace = Pace {
        per_second: match what.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate),
        },
    };
    for path in &what.files {
        let mut broken = None;
        let lines = Lines::open(path, &plan)?
            .map_while(|line| line.map_err(|error| broken = Some(error)).ok());
        let published = to_broker(&plan, lines, pace)?;
        if let Some(error) = broken {
            return Err(unreadable(path, &error));
        }
        output.print(&format!("{}: {published}\n", path.display()))?;
    }
    Ok(Exit::Done)
}

/// Answers what was published, for a person.
fn to_broker(plan: &Plan, lines: impl Iterator<Item = Line>, pace: Pace) -> Result<String, Fatal> {
    match plan.live {
        Live::Nats => {
            use nats::publisher::{Outgoing, publish};
            let subject = &plan.nats.subject;
            let messages = lines.map(|line| match line.read {
                Ok(delivery) => Outgoing::delivery(subject, &line.id, &delivery),
                Err(junk) => Outgoing::junk(subject, &line.id, junk),
            });
            let published = publish(&plan.nats.connection, messages, pace)?;
            Ok(format!(
                "{} messages, {} of them known to the stream already",
                grouped(published.messages),
                grouped(published.duplicates)
            ))
        }
        Live::Kafka => {
            use kafka::publisher::{Outgoing, publish};
            let messages = lines.map(|line| match line.read {
                Ok(delivery) => Outgoing::delivery(&delivery),
                Err(junk) => Outgoing::junk(junk),
            });
            let published = publish(&plan.kafka, messages, pace)?;
            Ok(format!("{} messages", grouped(published)))
        }
        Live::StandardInput => Err(Fatal::new(
            Exit::Config,
            "there is nothing to publish to: set source.live to \"nats\" or \"kafka\"",
        )),
    }
}

/// A line of a file.
struct Line {
    /// What it is known by.
    id: String,
    /// The delivery, or bytes that are none.
    read: Result<Box<Delivery>, Bytes>,
}

/// The lines of a file.
struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    defaults: EnvelopeDefaults,
    body_bytes_max: usize,
    file: String,
    number: u64,
}

impl Lines {
    fn open(path: &Path, plan: &Plan) -> Result<Self, Fatal> {
        let opened = open::file(path).map_err(|error| unreadable(path, &error))?;
        let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, opened.reader),
            defaults: EnvelopeDefaults {
                user: plan.default_user.clone(),
                provider: None,
                known: decode::providers().map(Provider::new).collect(),
            },
            body_bytes_max: plan.decode_options().body_bytes_max,
            file: name.chars().take(16).collect(),
            number: 0,
        })
    }

    fn read(&self, mut line: Vec<u8>) -> Line {
        while line
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            line.pop();
        }
        let id = format!("{}-{}", self.file, self.number);
        let line = Bytes::from(line);
        let read = parse_line_of_any_provider(
            Origin::default(),
            &line,
            &self.defaults,
            self.body_bytes_max,
        );
        Line {
            id,
            read: read.map(Box::new).map_err(|_| line),
        }
    }
}

impl Iterator for Lines {
    type Item = std::io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::with_capacity(2_048);
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                self.number += 1;
                Some(Ok(self.read(line)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fatal {
    let message = format!("{} cannot be read: {error}", path.display());
    Fatal::new(Exit::Input, message)
}
