//! The integration tests: one binary, one module for each subject.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod broker;
mod completions;
mod conformance_state;
mod decode;
mod decode_bodies;
mod decode_fixtures;
mod decode_hostile;
mod decode_memory;
mod generator;
mod json_reader;
mod kafka;
mod log;
mod memory_log;
mod names;
mod nats;
mod operators;
mod program;
mod proxy;
mod quarantine;
mod recipient_history;
mod recipient_tables;
mod recipient_warning;
mod rules;
mod skip;
mod source;
mod stop;
mod support;
mod throughput;

use log::clickhouse_server;
