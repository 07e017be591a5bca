//! The NATS source against a real server: what it hands out, acknowledges, holds and says.
//!
//! Each test has a stream of its own on the server that `HOOKFLOW_NATS_URL` names, or a server of its own (`HOOKFLOW_TEST_NATS_SERVER` is
//! its program) where the server itself is put to the test. See `scripts/stack`.

mod credentials;
mod failures;
mod handing_out;
mod leases;
mod logins;
mod members;
mod poison;
mod proxy;
mod publishing;
mod replay;
mod server;
mod shape;
mod whole;
mod world;

use crate::broker::job;
