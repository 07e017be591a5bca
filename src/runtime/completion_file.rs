//! The file that completions are delivered to: one JSON object a line, and never half a line before a whole one.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::json;

use crate::failpoint::{self, Failpoint};
use crate::state::Completion;

/// Appends completions and syncs them, once. When this returns an error, none, some or all of them may be in the file.
pub(super) fn append(path: &Path, completions: &[Completion]) -> io::Result<()> {
    let is_new = !path.exists();
    // With state in a database nothing else may have made the folder.
    path.parent().map_or(Ok(()), failpoint::create_dir_all)?;
    let mut file = failpoint::append(Failpoint::OutboxOpen, path)?;
    // Members may share the folder: what looks like a torn line may be one that another member is writing.
    file.lock()?;
    if !is_new {
        cut_torn_line(&file, path)?;
    }
    let lines: String = completions.iter().map(line).collect();
    failpoint::write_all(Failpoint::OutboxWrite, &mut file, lines.as_bytes())?;
    failpoint::sync(Failpoint::OutboxSync, &file)?;
    match path.parent().filter(|_| is_new) {
        Some(folder) => failpoint::sync_dir(Failpoint::OutboxSync, folder),
        None => Ok(()),
    }
}

fn line(completion: &Completion) -> String {
    let mut line = json!({
        "user": completion.user.as_str(),
        "batch_id": completion.batch_id,
        "generation": completion.generation,
        "cause": completion.cause,
        "completed_at": completion.completed_at.to_string(),
    })
    .to_string();
    line.push('\n');
    line
}

/// Removes what a full disk or a power cut left of a last line. Its completion is not marked, so it is delivered again.
fn cut_torn_line(file: &File, path: &Path) -> io::Result<()> {
    let mut reader = failpoint::open(Failpoint::OutboxOpen, path)?;
    let length = reader.seek(SeekFrom::End(0))?;
    let whole = end_of_lines(&mut reader, length)?;
    if whole == length {
        return Ok(());
    }
    tracing::warn!(
        bytes = length - whole,
        "a line that was not written to its end is removed from the file of completions"
    );
    file.set_len(whole)
}

/// Where the last whole line ends.
fn end_of_lines(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 4_096;
    let mut to = length;
    while to > 0 {
        let from = to.saturating_sub(STEP);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.by_ref().take(to - from).read_to_end(&mut bytes)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Millis, User};

    fn completion(batch: &str) -> Completion {
        Completion {
            user: User::new("acme"),
            batch_id: batch.into(),
            generation: 1,
            cause: "all".into(),
            completed_at: Millis(1_772_445_600_000),
        }
    }

    fn batches(path: &Path) -> Vec<String> {
        let mut text = String::new();
        let mut file = failpoint::open(Failpoint::OutboxOpen, path).unwrap();
        file.read_to_string(&mut text).unwrap();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let batch = |line| parse(line)["batch_id"].as_str().unwrap().to_owned();
        text.lines().map(batch).collect()
    }

    #[test]
    fn torn_last_line_is_removed_before_the_next_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("completions.jsonl");
        append(&path, &[completion("a"), completion("b")]).unwrap();
        let file = failpoint::append(Failpoint::OutboxOpen, &path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - 9).unwrap();
        append(&path, &[completion("b"), completion("c")]).unwrap();
        assert_eq!(batches(&path), ["a", "b", "c"]);
    }

    #[test]
    fn torn_line_longer_than_one_read_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("completions.jsonl");
        let long = "x".repeat(10_000);
        append(&path, &[completion("a"), completion(&long)]).unwrap();
        let file = failpoint::append(Failpoint::OutboxOpen, &path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        append(&path, &[completion("c")]).unwrap();
        assert_eq!(batches(&path), ["a", "c"]);
        file.set_len(3).unwrap();
        append(&path, &[completion("d")]).unwrap();
        assert_eq!(batches(&path), ["d"]);
    }

    #[test]
    fn members_that_share_the_file_cut_no_line_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("completions.jsonl");
        let many: Vec<Completion> = (0..200).map(|n| completion(&n.to_string())).collect();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..20).for_each(|_| append(&path, &many).unwrap()));
            }
        });
        assert_eq!(batches(&path).len(), 2 * 20 * many.len());
    }
}
