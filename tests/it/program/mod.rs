//! The real program: its logs, its terminal, and its commands with ClickHouse.

mod clickhouse;
mod logs;
mod terminal;
