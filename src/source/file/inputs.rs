//! From what was typed to what is read: paths, globs, folders and `-` become inputs, one partition each.
//!
//! Matches of a glob and files of a folder are taken in the order of their names. An input that cannot be read keeps
//! its partition number and its name, and carries the sentence that says why; nothing is left out silently.

use std::path::{Path, PathBuf};

/// One partition to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file of lines, maybe compressed.
    Lines(PathBuf),
    /// Standard input, lines.
    Stdin,
    /// A folder of raw bodies, each file one delivery.
    Bodies(PathBuf),
    /// What was typed, and why it cannot be read.
    Unreadable(String, String),
}

impl Input {
    /// What a person knows it by; the key of its checkpoint.
    pub fn name(&self) -> String {
        match self {
            Input::Lines(path) | Input::Bodies(path) => path.display().to_string(),
            Input::Stdin => "-".into(),
            Input::Unreadable(name, _) => name.clone(),
        }
    }
}

/// Expands what was typed. With `bodies` a folder holds raw bodies, else files of lines.
pub fn expand(specs: &[String], bodies: bool) -> Vec<Input> {
    let mut inputs = Vec::new();
    for spec in specs {
        expand_one(spec, bodies, &mut inputs);
    }
    inputs
}

fn expand_one(spec: &str, bodies: bool, inputs: &mut Vec<Input>) {
    let path = Path::new(spec);
    match path.metadata() {
        _ if spec == "-" => inputs.push(Input::Stdin),
        Ok(meta) if meta.is_dir() && bodies => inputs.push(Input::Bodies(path.into())),
        Ok(meta) if meta.is_dir() => inputs.extend(files_of_lines(spec, path)),
        Ok(_) => inputs.push(Input::Lines(path.into())),
        Err(error) if is_glob(spec) => {
            let why = format!("no file matches it ({error})");
            inputs.extend(or_unreadable(spec, why, matches(spec)));
        }
        Err(error) => inputs.push(Input::Unreadable(spec.into(), error.to_string())),
    }
}

fn is_glob(spec: &str) -> bool {
    spec.contains(['*', '?', '['])
}

fn matches(pattern: &str) -> Vec<PathBuf> {
    let found = glob::glob(pattern).into_iter().flatten().flatten();
    found.filter(|path| path.is_file()).collect()
}

fn or_unreadable(spec: &str, why: String, paths: Vec<PathBuf>) -> Vec<Input> {
    if paths.is_empty() {
        return vec![Input::Unreadable(spec.into(), why)];
    }
    paths.into_iter().map(Input::Lines).collect()
}

/// The files of a folder that hold lines by their name: `.jsonl` or `.ndjson`, maybe with `.gz` or `.zst` behind it.
fn files_of_lines(spec: &str, folder: &Path) -> Vec<Input> {
    let paths = match sorted_files(folder) {
        Ok(paths) => paths.into_iter().filter(|path| holds_lines(path)).collect(),
        Err(error) => return vec![Input::Unreadable(spec.into(), error.to_string())],
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
