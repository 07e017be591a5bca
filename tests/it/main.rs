//! The integration tests: one binary, one module a subject.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]

mod file_source;
