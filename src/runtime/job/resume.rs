//! Which files of a job an earlier run has read, and how far.

use crate::runtime::report::{FINISHED_BEFORE, RESUMED};
use crate::state::Checkpoint;

/// Where to resume each of the job's files, and a note for the summary.
///
/// The job was finished before only if every one of its files was. It is then read again from the start. Checkpoints of
/// files that the job does not read any more are ignored.
pub fn plan(
    files: &[String],
    mut checkpoints: Vec<Checkpoint>,
) -> (Vec<Checkpoint>, Option<&'static str>) {
    checkpoints.retain(|checkpoint| files.contains(&checkpoint.partition));
    if checkpoints.is_empty() {
        return (checkpoints, None);
    }
    let is_finished = |file: &String| {
        checkpoints
            .iter()
            .any(|checkpoint| checkpoint.finished && checkpoint.partition == *file)
    };
    if files.iter().all(is_finished) {
        return (Vec::new(), Some(FINISHED_BEFORE));
    }
    (checkpoints, Some(RESUMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(file: &str, offset: u64, finished: bool) -> Checkpoint {
        Checkpoint {
            job: "job".into(),
            partition: file.into(),
            offset,
            proof: String::new(),
            finished,
        }
    }

    fn files() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn job_killed_between_files_resumes_at_the_next_file() {
        let (resumed, note) = plan(&files(), vec![checkpoint("a", 9, true)]);
        assert_eq!(note, Some(RESUMED));
        assert_eq!(resumed, [checkpoint("a", 9, true)]);
    }

    #[test]
    fn job_is_finished_only_when_all_its_files_are() {
        let all = ["a", "b", "c"]
            .map(|file| checkpoint(file, 9, true))
            .to_vec();
        assert_eq!(
            plan(&files(), all.clone()),
            (Vec::new(), Some(FINISHED_BEFORE))
        );
        let mut open = all;
        open[2].finished = false;
        assert_eq!(plan(&files(), open.clone()), (open, Some(RESUMED)));
    }

    #[test]
    fn other_files_of_a_named_job_are_not_resumed() {
        let (resumed, note) = plan(&files(), vec![checkpoint("yesterday", 9, true)]);
        assert_eq!((resumed, note), (Vec::new(), None));
    }
}
