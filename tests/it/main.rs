//! The integration tests: one binary, one module per subject.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]

mod operators;
mod support;
