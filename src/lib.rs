//! hookflow

pub mod json;

pub mod event;

pub mod key;

pub mod epoch;

pub mod error;

pub mod tally;

pub mod edge;

pub mod source;

pub mod decode;

pub mod dedup;

pub mod select;

pub mod enrich;

pub mod window;

pub mod sink;

pub mod config;

pub mod observe;

pub mod runtime;

pub mod cli;
