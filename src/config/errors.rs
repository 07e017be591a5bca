//! Mistakes in a configuration: which setting, which value, what is wrong and what to do.

use std::fmt;

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting as the user wrote it: `dedup.ttl`, or the name of an environment variable.
    pub key: String,
    /// The value as given; absent where the key itself is the mistake.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub hint: String,
}

impl ConfigError {
    /// A mistake in the value of a setting.
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

    /// A name that does not exist, with the most similar one that does.
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}; {}", self.problem, self.hint)
    }
}

/// All mistakes at once, so that one attempt is enough to correct them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// Adds one.
    pub fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "the configuration has {count} {noun}:")?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}

/// The most similar candidate, if it is similar enough for a typing mistake.
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
    use super::ConfigError;

    #[test]
    fn a_near_miss_is_named_and_nonsense_is_not_guessed_at() {
        let near = ConfigError::unknown("dedup.tll", "setting", ["dedup.ttl", "job.tick"]);
        assert_eq!(
            near.to_string(),
            "dedup.tll: there is no such setting; did you mean dedup.ttl?"
        );
        let far = ConfigError::unknown("zebra", "setting", ["dedup.ttl", "job.tick"]);
        assert!(far.hint.contains("hookflow config"));
    }
}
