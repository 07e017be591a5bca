//! hookflow

pub mod event;

pub mod key;

pub mod epoch;

pub mod error;

pub mod edge;

pub mod source;

pub mod decode;

pub mod enrich;

pub mod sink;
