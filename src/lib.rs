//! hookflow turns the flood of webhooks that mail and SMS providers send (delivered, opened, bounced, complained, …) into
//! exact state: per recipient what happened, per batch bounded counters and the moment it is complete, and a
//! log of every event that can be queried.
//!
//! **It is** one timely dataflow over different sources: a live job, backfill and replay jobs over history, and throughput
//! experiments. **It is not** the HTTP edge that receives webhooks (it reads what an edge stored: a stream or files), not a
//! sender of mail, and not a general stream processor.
//!
//! # What it promises
//!
//! Every delivery that the source handed over ends in exactly one of these places, whatever crashes, repeats or arrives
//! out of order: its events are *applied*, recognised as *duplicates*, parked as *unmatched*, *logged only* (a kind that counts
//! for nothing) or *dead letters* with their raw bytes and a reason; a delivery without events is *control*. The final
//! state equals the fold of the set of distinct events. Nothing is acknowledged to the source before it is durable
//! in every sink.
//!
//! Three rules carry that: the unique key in the state store is the only judge of what is new ([`state`]); the log is
//! written for every event and idempotent by identity ([`log`]); a position is remembered only below the
//! frontier behind all sinks ([`settle`]). What is right in every case where two programs could differ is one page: [`rules`].
//!
//! # The picture
//!
//! ```text
//!  source ─► decode ─► dedup ─► enrich ─► window ─► state  (SQLite | Postgres)    ─┐
//!  files     11 prov.  first    join with  rows,    log    (Parquet | ClickHouse) ├─► settle ─► positions
//!  stdin     bytes →   per key  recipient  bytes or reject (dead letters)         ─┘                │
//!  brokers   events    in TTL   snapshot   age                                                      │
//!    ▲                                                                                              │
//!    └───────── remembered, or acknowledged, only below the frontier behind all sinks ◄─────────────┘
//! ```
//!
//! # The rooms, in the order in which an event travels
//!
//! A room uses only rooms above it.

pub mod rules;

pub mod event;

pub use event::key;

pub mod quarantine;
pub mod recipient;

pub mod epoch;

pub mod error;

pub mod metrics;

pub mod failpoint;

pub mod json;

pub mod postgres;

pub mod clickhouse;

pub mod generator;

pub mod source;

pub mod decode;

pub mod select;

pub mod dedup;

pub mod enrich;

pub mod window;

pub mod state;

pub mod log;

pub mod sink;

pub mod settle;

#[path = "../dataflows/mod.rs"]
pub mod dataflows;

pub mod config;

pub mod observe;

pub mod runtime;

pub mod cli;
