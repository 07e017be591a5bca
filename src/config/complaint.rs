//! What is wrong with a configuration, in sentences: which setting, which value, from where, and what to do.

use std::fmt;

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The setting as the reader wrote it: `dedup.ttl`, or the name of an environment variable.
    pub key: String,
    /// The value as given; absent where the key itself is the mistake.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub hint: String,
}

impl Complaint {
    /// A complaint about a key that exists.
    pub fn about(
        key: impl Into<String>,
        value: impl Into<String>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: Some(value.into()),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// A complaint about a key that does not exist, with the nearest one that does.
    pub fn unknown<'a>(
        key: &str,
        noun: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let hint = match nearest(key, candidates) {
            Some(near) => format!("did you mean {near}?"),
            None => "`hookflow config` lists them all".to_owned(),
        };
        Self {
            key: key.to_owned(),
            value: None,
            problem: format!("there is no such {noun}"),
            hint,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}; {}", self.problem, self.hint)
    }
}

/// All complaints at once, so that one attempt is enough to mend them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaints(pub Vec<Complaint>);

impl Complaints {
    /// Adds one.
    pub fn push(&mut self, complaint: Complaint) {
        self.0.push(complaint);
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "the configuration has {count} {noun}:")?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

/// The candidate that a typing mistake most likely meant.
fn nearest<'a>(key: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::Complaint;

    #[test]
    fn a_near_miss_is_named_and_nonsense_is_not_guessed_at() {
        let near = Complaint::unknown("dedup.tll", "setting", ["dedup.ttl", "job.tick"]);
        assert_eq!(
            near.to_string(),
            "dedup.tll: there is no such setting; did you mean dedup.ttl?"
        );
        let far = Complaint::unknown("zebra", "setting", ["dedup.ttl", "job.tick"]);
        assert!(far.hint.contains("hookflow config"));
    }
}
