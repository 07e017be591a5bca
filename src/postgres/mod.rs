//! Postgres as a server: how it is reached and what its errors mean. Which tables there are is the business of the rooms below.

pub mod class;
mod connect;

pub use connect::{Refused, Tls, connect};
