//! ClickHouse as a server: what its errors mean. Which tables there are is the business of the rooms below.

pub mod class;
