//! The events of a folder that `hookflow generate` wrote, as a job would hand them to the state store.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookflow::decode::{self, Decoded, decode};
use hookflow::enrich::directory::{MapDirectory, MessageRecipient, match_all};
use hookflow::enrich::snapshot;
use hookflow::event::{Event, Origin, Provider, User};
use hookflow::recipient::Mapping;
use hookflow::sink::rows::rows;
use hookflow::source::EnvelopeDefaults;
use hookflow::source::envelope::parse_line;
use hookflow::state::{LoadKind, LoadOutcome, StateEvent, StateStore};

/// Loads the folder's recipients and batches; answers what is known then.
pub fn load(store: &mut dyn StateStore, folder: &Path) -> MapDirectory {
    let options = snapshot::SnapshotOptions::default();
    let load = store.begin_load(LoadKind::Full).unwrap();
    let mut known = MapDirectory::default();
    for chunk in snapshot::recipients(&folder.join("snapshot.jsonl"), &options).unwrap() {
        for fate in store.load_recipients(load, &chunk.unwrap().rows).unwrap() {
            if let LoadOutcome::Accepted(mapping) = fate {
                learn(&mut known, mapping);
            }
        }
    }
    for chunk in snapshot::batches(&folder.join("batches.jsonl"), &options).unwrap() {
        store.load_batches(load, &chunk.unwrap().rows).unwrap();
    }
    store.finish_load(load).unwrap();
    known
}

fn learn(known: &mut MapDirectory, mapping: Mapping) {
    known.rows.insert(mapping.row, mapping.row_id);
    known
        .messages
        .entry(mapping.join)
        .or_default()
        .push(MessageRecipient {
            address: mapping.address,
            row: mapping.row_id,
            batch_id: mapping.batch_id,
            recipient_id: mapping.recipient_id,
        });
}

/// The events of all deliveries, each distinct one once, in the order of arrival.
pub fn events(folder: &Path, known: &mut MapDirectory) -> Vec<StateEvent> {
    let text = std::process::Command::new("cat")
        .arg(folder.join("deliveries.jsonl"))
        .output();
    let text = Bytes::from(text.unwrap().stdout);
    let defaults = EnvelopeDefaults {
        user: User::new("default"),
        provider: None,
        known: decode::providers().map(Provider::new).collect(),
    };
    let options = decode::DecodeConfig::default();
    let mut decoded = Decoded::default();
    for line in text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
        let line = text.slice_ref(line);
        if let Ok(delivery) =
            parse_line(Origin::default(), &line, &defaults, options.body_bytes_max)
        {
            decode(&Arc::new(delivery), &options, &mut decoded);
        }
    }
    let mut seen = std::collections::HashSet::new();
    let mut distinct: Vec<Event> = decoded.events;
    distinct.retain(|event| seen.insert(event.identity));
    let found = match_all(&distinct, known);
    let matched = distinct.into_iter().zip(found);
    matched
        .map(|(event, found)| rows(event, found).0.0)
        .collect()
}
