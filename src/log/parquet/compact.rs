//! Many small files of one day into few big ones.
//!
//! Contract: the view of readers never changes. The merged file is durable before one that it replaces is removed, and
//! of an event's rows in a group the one that readers would take is kept. Memory is bounded by one column of a group,
//! and the bytes of the file that is made.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use super::chunk::{LogFile, Rank, identity};
use super::encode::Encoder;
use super::error;
use super::folder::{self, Folder};
use super::schema::Column;
use super::values::ColumnValues;
use crate::error::SinkError;
use crate::failpoint::{self, Failpoint};

/// A group is full at that many rows; files of half as many are left alone.
const GROUP_ROWS: usize = 256 * 1024;

/// Files of one group, all open at once.
const GROUP_FILES: usize = 256;

/// Merges the small files of every day.
pub(super) fn all(folder: &mut Folder, encoder: &Encoder) -> Result<(), SinkError> {
    for day in folder::days(folder.root()).map_err(|error| error::io(&error))? {
        // Many tiny files need more than one round; each leaves fewer.
        while round(folder, encoder, &day)? {}
    }
    Ok(())
}

/// Merges each group of a day once; false if there was none.
fn round(folder: &mut Folder, encoder: &Encoder, day: &Path) -> Result<bool, SinkError> {
    let mut group = MergeGroup::default();
    let mut merged = false;
    for path in folder::files_of(day).map_err(|error| error::io(&error))? {
        group.offer(path)?;
        if group.is_full() {
            merged |= std::mem::take(&mut group).merge(folder, encoder, day)?;
        }
    }
    Ok(merged | group.merge(folder, encoder, day)?)
}

#[derive(Default)]
struct MergeGroup {
    files: Vec<(PathBuf, LogFile)>,
    rows: usize,
}

impl MergeGroup {
    fn offer(&mut self, path: PathBuf) -> Result<(), SinkError> {
        let Some(file) = LogFile::open(&path)? else {
            return Ok(());
        };
        if file.rows() < GROUP_ROWS / 2 {
            self.rows += file.rows();
            self.files.push((path, file));
        }
        Ok(())
    }

    const fn is_full(&self) -> bool {
        self.rows >= GROUP_ROWS || self.files.len() >= GROUP_FILES
    }

    fn merge(self, folder: &mut Folder, encoder: &Encoder, day: &Path) -> Result<bool, SinkError> {
        if self.files.len() < 2 {
            return Ok(false);
        }
        let keep = self.keep()?;
        let bytes = encoder.columns(|column| self.column(column, &keep))?;
        folder
            .put_into(day, &bytes)
            .map_err(|error| error::io(&error))?;
        for (path, _) in &self.files {
            failpoint::remove(Failpoint::LogRemove, path).map_err(|error| error::io(&error))?;
        }
        Ok(true)
    }

    /// For each row of each file: whether readers would take it, looking at this group alone.
    fn keep(&self) -> Result<Vec<Vec<bool>>, SinkError> {
        let mut keep = Vec::with_capacity(self.files.len());
        let mut best: HashMap<u128, (Rank, usize, usize)> = HashMap::with_capacity(self.rows);
        for (number, (_, file)) in self.files.iter().enumerate() {
            keep.push(vec![true; file.rows()]);
            for (row, (identity, rank)) in ranks(file)?.into_iter().enumerate() {
                let loser = better(&mut best, identity, (rank, number, row));
                if let Some(flag) = loser.and_then(|(file, row)| keep.get_mut(file)?.get_mut(row)) {
                    *flag = false;
                }
            }
        }
        Ok(keep)
    }

    fn column(&self, column: Column, keep: &[Vec<bool>]) -> Result<ColumnValues, SinkError> {
        let mut all = ColumnValues::empty(column);
        for ((_, file), keep) in self.files.iter().zip(keep) {
            all.append(file.column(column)?, keep);
        }
        Ok(all)
    }
}

/// Notes a row as the best of its event if it is; returns the place of the one that lost, if there were two.
fn better(
    best: &mut HashMap<u128, (Rank, usize, usize)>,
    identity: u128,
    offered: (Rank, usize, usize),
) -> Option<(usize, usize)> {
    match best.entry(identity) {
        Entry::Vacant(slot) => {
            slot.insert(offered);
            None
        }
        Entry::Occupied(mut slot) => {
            let loser = if offered.0 > slot.get().0 {
                slot.insert(offered)
            } else {
                offered
            };
            Some((loser.1, loser.2))
        }
    }
}

fn ranks(file: &LogFile) -> Result<Vec<(u128, Rank)>, SinkError> {
    let identities = file.column(Column::Identity)?;
    let versions = file.column(Column::Version)?;
    let received = file.column(Column::ReceivedAt)?;
    let rank = |row| {
        let version = versions.int(row).unwrap_or(0);
        (version, std::cmp::Reverse(received.long(row).unwrap_or(0)))
    };
    Ok((0..file.rows())
        .map(|row| (identity(identities.bytes(row)), rank(row)))
        .collect())
}
