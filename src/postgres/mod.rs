//! Postgres as a server: how to connect to it and what its errors mean. Tables are the business of the modules that use it.

pub mod class;
mod connect;
mod error;

pub use connect::{PostgresTarget, PostgresTls, connect};
pub use error::{PostgresError, too_slow};
