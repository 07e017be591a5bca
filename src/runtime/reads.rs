//! What a running job reads of its store: parked events, late matches, mappings. It has a connection of its own, so that commits
//! never wait behind it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::SinkError;
use crate::key::Identity;
use crate::sink::writer::StateHandle;
use crate::state::view::StateReader;
use crate::state::{LatePage, Mapping, MappingCursor};

/// Reads beside the state writer; cheap to clone.
///
/// What the own connection cannot answer goes to the writer, which waits for a store that is out. So does everything of a dry
/// run in a database: its changes are visible on the connection that made them only.
#[derive(Clone)]
pub struct StateReads {
    reader: Option<Arc<Mutex<Box<dyn StateReader>>>>,
    writer: StateHandle,
}

impl StateReads {
    /// Reads over a connection of its own, if there is one, else over the writer's.
    pub fn new(reader: Option<Box<dyn StateReader>>, writer: StateHandle) -> Self {
        let reader = reader.map(|reader| Arc::new(Mutex::new(reader)));
        Self { reader, writer }
    }

    /// A page of mappings of ended loads; see [`StateStore::mappings`](crate::state::StateStore::mappings).
    pub fn mappings(
        &self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        let read = self.read(|reader| reader.mappings(after, limit));
        read.unwrap_or_else(|| {
            self.writer
                .call_until_done(move |store| store.mappings(after, limit))
        })
    }

    /// A page of late matches; see [`StateStore::late_matches`](crate::state::StateStore::late_matches).
    pub fn late_matches(&self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        let read = self.read(|reader| reader.late_matches(after, rows));
        read.unwrap_or_else(|| {
            self.writer
                .call_until_done(move |store| store.late_matches(after, rows))
        })
    }

    /// How many events are parked.
    pub fn parked(&self) -> Result<u64, SinkError> {
        let read = self.read(|reader| reader.parked());
        read.unwrap_or_else(|| self.writer.call_until_done(|store| store.parked()))
    }

    /// Asks the own connection; none where there is none, or where only waiting could help.
    fn read<R>(
        &self,
        ask: impl FnOnce(&mut dyn StateReader) -> Result<R, SinkError>,
    ) -> Option<Result<R, SinkError>> {
        let reader = self.reader.as_ref()?;
        let answer = ask(&mut **reader.lock().unwrap_or_else(PoisonError::into_inner));
        match answer {
            Err(error) if error.class.is_passing() => {
                tracing::debug!(%error, "the reading connection failed, the writer is asked");
                None
            }
            answer => Some(answer),
        }
    }
}
