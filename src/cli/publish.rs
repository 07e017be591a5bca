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
use crate::config::Plan;
use crate::error::{Exit, Fatal};
use crate::event::Origin;
use crate::observe::numbers::grouped;
use crate::source::EnvelopeDefaults;
use crate::source::envelope::parse_line_of_any_provider;
use crate::source::file::open;
use crate::source::outgoing::{OutgoingMessage, Published};
use crate::source::pace::Pace;

/// Publishes every line of the files; returns when the broker has confirmed all of them.
pub fn publish(
    common: &Common,
    what: &PublishArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    let connector = plan.connector();
    let pace = Pace::from(what.rate);
    for path in &what.files {
        let mut broken = None;
        let mut messages = Lines::open(path, &plan)?
            .map_while(|line| line.map_err(|error| broken = Some(error)).ok());
        let published = connector.publish(&mut messages, pace)?;
        if let Some(error) = broken {
            return Err(unreadable(path, &error));
        }
        output.print(&format!("{}: {}\n", path.display(), describe(published)))?;
    }
    Ok(Exit::Done)
}

/// What was published, for a person.
fn describe(published: Published) -> String {
    let messages = grouped(published.messages);
    match published.duplicates {
        Some(duplicates) => format!(
            "{messages} messages, {} of them known to the stream already",
            grouped(duplicates)
        ),
        None => format!("{messages} messages"),
    }
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
            defaults: plan.envelope_defaults(None),
            body_bytes_max: plan.decode_options().body_bytes_max,
            file: name.chars().take(16).collect(),
            number: 0,
        })
    }

    fn read(&self, mut line: Vec<u8>) -> OutgoingMessage {
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
        match read {
            Ok(delivery) => OutgoingMessage::delivery(id, delivery),
            Err(_) => OutgoingMessage::malformed(id, line),
        }
    }
}

impl Iterator for Lines {
    type Item = std::io::Result<OutgoingMessage>;

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
