//! The integration tests: one binary, one module a subject.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, helpers included"
)]

mod file_source;
mod generator;
