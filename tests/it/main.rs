//! Everything that is tested from outside and needs no process of its own.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]

mod conformance_log;
mod parquet_files;
mod parquet_query;
mod rows;
