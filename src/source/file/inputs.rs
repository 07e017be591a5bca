//! Expands arguments (paths, globs, folders and `-`) to inputs, one partition each.
//!
//! Matches of a glob and files of a folder are sorted by name. An input that cannot be read keeps its partition number and
//! its name, and carries the reason; none is left out silently.

use std::path::{Path, PathBuf};

/// One partition that will be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileInput {
    /// A file of lines, plain or compressed.
    Lines(PathBuf),
    /// Lines of standard input.
    Stdin,
    /// A folder of raw bodies; each file is one delivery.
    Bodies(PathBuf),
    /// The argument, and why it cannot be read.
    Unreadable(String, String),
}

impl FileInput {
    /// Its name for people, which is also the key of its checkpoint.
    pub fn name(&self) -> String {
        match self {
            FileInput::Lines(path) | FileInput::Bodies(path) => path.display().to_string(),
            FileInput::Stdin => "-".into(),
            FileInput::Unreadable(name, _) => name.clone(),
        }
    }

    /// Whether its progress is stored, so that a later run of the job can resume it.
    pub const fn is_resumable(&self) -> bool {
        matches!(self, FileInput::Lines(_))
    }
}

/// Expands arguments. With `bodies` a folder holds raw bodies, else files of lines.
pub fn expand(specs: &[String], bodies: bool) -> Vec<FileInput> {
    let mut inputs = Vec::new();
    for spec in specs {
        expand_one(spec, bodies, &mut inputs);
    }
    inputs
}

fn expand_one(spec: &str, bodies: bool, inputs: &mut Vec<FileInput>) {
    let path = Path::new(spec);
    match path.metadata() {
        _ if spec == "-" => inputs.push(FileInput::Stdin),
        Ok(meta) if meta.is_dir() && bodies => inputs.push(FileInput::Bodies(path.into())),
        Ok(meta) if meta.is_dir() => inputs.extend(files_of_lines(spec, path)),
        Ok(_) => inputs.push(FileInput::Lines(path.into())),
        Err(error) if is_glob(spec) => {
            let why = format!("no file matches it ({error})");
            inputs.extend(or_unreadable(spec, why, matches(spec)));
        }
        Err(error) => inputs.push(FileInput::Unreadable(spec.into(), error.to_string())),
    }
}

fn is_glob(spec: &str) -> bool {
    spec.contains(['*', '?', '['])
}

fn matches(pattern: &str) -> Vec<PathBuf> {
    let found = glob::glob(pattern).into_iter().flatten().flatten();
    found.filter(|path| path.is_file()).collect()
}

fn or_unreadable(spec: &str, why: String, paths: Vec<PathBuf>) -> Vec<FileInput> {
    if paths.is_empty() {
        return vec![FileInput::Unreadable(spec.into(), why)];
    }
    paths.into_iter().map(FileInput::Lines).collect()
}

/// The files of a folder that hold lines by their name: `.jsonl` or `.ndjson`, maybe with `.gz` or `.zst` behind it.
fn files_of_lines(spec: &str, folder: &Path) -> Vec<FileInput> {
    let paths = match sorted_files(folder) {
        Ok(paths) => paths.into_iter().filter(|path| holds_lines(path)).collect(),
        Err(error) => return vec![FileInput::Unreadable(spec.into(), error.to_string())],
    };
    let why = "the folder holds no .jsonl file; for a folder of raw bodies name their provider";
    or_unreadable(spec, why.into(), paths)
}

fn holds_lines(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".zst").unwrap_or(name);
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

/// The files of a folder in the order of their names.
pub fn sorted_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
