//! Event logs: what each promises, and what only Parquet or ClickHouse does.

mod clickhouse;
mod clickhouse_refusals;
pub mod clickhouse_server;
mod conformance;
mod parquet_files;
mod parquet_query;
mod rows;
