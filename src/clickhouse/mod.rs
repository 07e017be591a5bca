//! ClickHouse as a server: what its errors mean. The modules below define the tables.

pub mod class;
