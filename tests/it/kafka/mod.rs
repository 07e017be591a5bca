//! The Kafka source against a real broker: what it hands out, commits, holds and says.
//!
//! Each test has a topic and a group of its own on the broker that `HOOKFLOW_KAFKA_BROKERS` names, or a broker of its own where the
//! broker itself is put to the test. See `scripts/stack`.

mod commits;
mod failures;
mod handing_out;
mod headers;
mod logins;
mod members;
#[cfg(feature = "faults")]
mod poison;
mod pressure;
mod program;
mod replay;
mod start;
mod world;

use crate::broker::{job, wait};
