//! Files and standard input as a [`Connector`].

use std::path::Path;

use super::{FileOptions, FileSource};
use crate::error::Fatal;
use crate::source::EnvelopeDefaults;
use crate::source::connector::{Connector, Source, SourceError};
use crate::source::context::SourceContext;
use crate::source::replay::ReplayRange;

/// Files, folders of bodies, or standard input.
#[derive(Clone, Debug)]
pub struct FileConnector {
    name: &'static str,
    paths: Vec<String>,
    defaults: EnvelopeDefaults,
    body_bytes_max: usize,
}

impl FileConnector {
    /// Paths, patterns and folders.
    pub fn new(
        paths: &[impl AsRef<Path>],
        defaults: EnvelopeDefaults,
        body_bytes_max: usize,
    ) -> Self {
        let paths = paths.iter().map(|path| path.as_ref().display().to_string());
        Self {
            name: "files",
            paths: paths.collect(),
            defaults,
            body_bytes_max,
        }
    }

    /// Lines of deliveries from standard input.
    pub fn standard_input(defaults: EnvelopeDefaults, body_bytes_max: usize) -> Self {
        Self {
            name: "standard input",
            ..Self::new(&["-"], defaults, body_bytes_max)
        }
    }
}

impl Connector for FileConnector {
    fn name(&self) -> &'static str {
        self.name
    }

    fn identity(&self) -> String {
        format!("{:?} {:?}", self.paths, self.defaults.provider)
    }

    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(self.clone()))
    }

    fn replay(&self, range: ReplayRange) -> Result<Box<dyn Source>, SourceError> {
        if range == ReplayRange::default() && self.paths != ["-"] {
            return self.live();
        }
        Err(self.unsupported(
            "be replayed by the time of a broker",
            "set source.live to \"nats\" or \"kafka\"",
        ))
    }
}

impl Source for FileConnector {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        let options = FileOptions {
            defaults: self.defaults,
            body_bytes_max: self.body_bytes_max,
            stop: context.stop,
        };
        let source = FileSource::new(&self.paths, context.resume, options);
        let source = source.with_fingerprints(context.fingerprints);
        if source.run(context.records).is_err() {
            tracing::debug!("reading was stopped before the end");
        }
        Ok(())
    }
}
