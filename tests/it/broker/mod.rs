//! What the tests of the brokers' sources share.

pub mod job;
pub mod own;
pub mod wait;
