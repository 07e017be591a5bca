//! The integration tests: one binary, one module a concern.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod broker;
mod clickhouse_log;
mod clickhouse_program;
mod clickhouse_refusals;
mod clickhouse_server;
mod completions;
mod conformance_log;
mod conformance_state;
mod decode;
mod decode_bodies;
mod decode_fixtures;
mod decode_hostile;
mod file_source;
mod generator;
mod json_reader;
mod kafka;
mod nats;
mod operators;
mod parquet_files;
mod parquet_query;
mod program_logs;
mod program_terminal;
mod proxy;
mod recipient_history;
mod recipient_tables;
mod rows;
mod rules;
mod skip;
mod support;
