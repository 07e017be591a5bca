//! hookflow turns the flood of webhooks that mail and SMS providers send (delivered, opened, bounced, complained, …) into
//! correct state: per recipient what happened, per batch bounded counters and the moment it is complete, and a log of every
//! event that can be queried.
//!
//! **It is** one timely dataflow over different sources: live jobs, backfill and replay jobs over history, and throughput
//! experiments. **It is not** the HTTP edge that receives webhooks (it reads what an edge stored: a stream or files), not a
//! sender of mail, and not a general stream processor.
//!
//! # What it promises
//!
//! Every delivery that the source handed over ends in exactly one of these places, whatever crashes, repeats or arrives out of
//! order: its events are *applied*, recognised as *duplicates*, parked as *unmatched*, *logged only* (a kind that counts for
//! nothing) or *dead letters* with their raw bytes and a reason; a delivery without events is *control*. The final state equals
//! the fold of the set of distinct events. Nothing is acknowledged to the source before it is durable in every sink.
//!
//! Three rules carry that:
//!
//! * the unique key in the state store is the only judge of what is new ([`state`]);
//! * the log is written for every event and is idempotent by identity ([`log`]);
//! * an offset is committed only below the frontier behind all sinks ([`source::commit_tracker`]).
//!
//! What is right in every case where two programs could differ stands on one page: [`rules`].
//!
//! # The picture
//!
//! ```text
//!  source ─► decode ─► dedup ─► enrich ─► window ─► state  (SQLite | Postgres)    ─┐
//!  files     11 prov.  first    join with  rows,     log    (Parquet | ClickHouse) ├─► commit
//!  NATS      bytes →   per key  recipient  bytes or  dead letters                 ─┘     │
//!  Kafka     events    in TTL   snapshot   age                                           │
//!    ▲                                                                                   │
//!    └────── acknowledged, or committed, only below the frontier behind all sinks ◄──────┘
//! ```
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | delivery | one HTTP request of a provider, as it was received |
//! | event | one thing that happened to one message; a delivery holds zero to thousands |
//! | kind | what an event says: delivered, opened, bounced, …; `other` for kinds that count for nothing |
//! | identity | 128-bit hash of provider, user, kind and event key: equal for all copies of an event |
//! | event key | the part of a payload that identifies an event within its provider, user and kind |
//! | counted kind | a kind of which every event counts: opened, clicked, opened by a machine |
//! | user | the tenant whose mail it is |
//! | batch | the sender's batch (campaign): a set of recipients with counters and a completion; never a group of rows |
//! | recipient | one address in one batch: the state row |
//! | mapping | from a message (user, provider, join id, address) to its recipient row |
//! | join id | the id of a message as the sender knows it |
//! | load | one transfer of recipients into the state store: chunks, then one transaction that seals batches |
//! | sealed | the total of a batch is known: it can complete |
//! | generation | the number of times that a batch was sealed with another total |
//! | completion | a batch is finished, by all recipients or by its deadline; written to the outbox, delivered by the relay |
//! | outbox | rows of completions that are not delivered yet |
//! | flags | what happened to a recipient, as a bit set; the status is the highest flag |
//! | fold | the order-free function from a set of events to the state of a recipient |
//! | ledger | the table of identities that were counted |
//! | unmatched, parked | an event whose recipient is not known yet; it is kept durably |
//! | late match | a parked event whose recipient has become known |
//! | dead letter | a delivery, element or event that could not be processed, with its raw bytes and the reason |
//! | control | a delivery that holds no event (a ping, a subscription message) |
//! | outcome | where an event ended: applied, duplicate, unmatched, logged only, dead letter |
//! | source | where deliveries come from: files, the generator, NATS, Kafka |
//! | partition | an independently ordered part of a source, with its own offsets |
//! | offset | a place in a partition |
//! | origin | partition and offset of a delivery; the field `delivery` of log lines |
//! | records | a contiguous run of one partition's records, as a source hands it out |
//! | commit | everything before an offset of a partition is durable in every sink |
//! | checkpoint | the committed offset of a file, stored so that a later run resumes there |
//! | in flight | handed in and not yet durable in every sink |
//! | member | one process of those that share a source |
//! | epoch | the timestamp of the dataflow: a tick of a monotonic clock |
//! | frontier, capability, probe | timely's words for progress |
//! | window | the rows gathered for one write of a sink |
//! | sink | an operator and a writer thread in front of a store |
//! | writer | the thread that writes to one store, with retry, bisection and a circuit breaker |
//! | bisection | halving a refused write until the rows are found that are refused |
//! | quarantine | decoding suspected messages alone after a crash |
//! | snapshot | the recipients as the workers hold them in memory |
//! | arrangement | differential's index of the snapshot |
//! | preflight | the checks that `hookflow check` and every start make |
//! | failpoint | a named place of I/O at which a test build can crash |
//! | wrong design | a switch of test builds that breaks a rule; the oracle must notice |
//!
//! # The modules, in the order in which an event travels
//!
//! A module uses only modules above it.

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

pub mod tls;

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

#[path = "../dataflows/mod.rs"]
pub mod dataflows;

pub mod config;

pub mod observe;

pub mod runtime;

pub mod cli;
