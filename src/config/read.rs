//! Parses single values: durations, sizes, counts and switches.
//!
//! Contract: pure; no input panics. A value that cannot be parsed is an error with a hint, and the caller continues with a default.

use std::num::NonZeroUsize;
use std::time::Duration;

use toml::Value;

use super::errors::{ConfigError, ConfigErrors};
use super::layers::{Layers, Setting};

/// Reads settings by path and collects the mistakes.
#[derive(Debug)]
pub struct SettingReader<'a> {
    layers: &'a Layers,
    errors: &'a mut ConfigErrors,
}

impl<'a> SettingReader<'a> {
    /// Reads from `layers` and adds mistakes to `errors`.
    pub fn new(layers: &'a Layers, errors: &'a mut ConfigErrors) -> Self {
        Self { layers, errors }
    }

    /// Reads a value with `parse`; a mistake is reported with `hint`, and the fallback is returned.
    pub fn value<T>(
        &mut self,
        path: &str,
        hint: &str,
        fallback: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(setting) = self.layers.get(path) else {
            return fallback;
        };
        let text = plain(&setting.value);
        match text.as_deref().and_then(|text| parse(text.trim())) {
            Some(value) => value,
            None => {
                self.report(setting, hint);
                fallback
            }
        }
    }

    fn report(&mut self, setting: &Setting, hint: &str) {
        let key = match &setting.origin {
            super::ValueSource::Environment(name) => name.clone(),
            _ => setting.path(),
        };
        let value = super::print::shown(setting);
        self.errors.push(ConfigError::about(
            key,
            value,
            "this value is not valid",
            hint,
        ));
    }

    /// Reports settings that are valid alone and contradict each other.
    pub fn complain_of(&mut self, path: &str, problem: &str, hint: &str) {
        self.errors.push(ConfigError {
            key: path.to_owned(),
            value: None,
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        });
    }

    /// A count from 1 up.
    pub fn count(&mut self, path: &str) -> NonZeroUsize {
        let hint = "a whole number from 1 to 1,000,000,000, such as 10000";
        self.value(path, hint, NonZeroUsize::MIN, |text| {
            parse_count(text).filter(|n| n.get() <= 1_000_000_000)
        })
    }

    /// A size in bytes.
    pub fn bytes(&mut self, path: &str) -> usize {
        let hint = "a size above 0, such as 4096, \"64KiB\", \"16MiB\" or \"1GiB\"";
        self.value(path, hint, 1, parse_bytes)
    }

    /// A duration within these bounds.
    pub fn duration(&mut self, path: &str, least: Duration, most: Duration) -> Duration {
        let hint = format!(
            "a duration from \"{}\" to \"{}\", such as \"200ms\", \"5s\" or \"10m\"",
            show_duration(least),
            show_duration(most)
        );
        self.value(path, &hint, least, |text| {
            parse_duration(text).filter(|time| (least..=most).contains(time))
        })
    }

    /// `true` or `false`.
    pub fn switch(&mut self, path: &str) -> bool {
        self.value(path, "true or false", false, parse_switch)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, path: &str, fallback: T, choices: &[(&str, T)]) -> T {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        self.value(path, &words.join(", "), fallback, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text);
            chosen.map(|(_, value)| *value)
        })
    }

    /// Text that may be empty, which then means that the setting is not used.
    pub fn optional_text(&mut self, path: &str) -> Option<String> {
        let any = self.value(path, "text", String::new(), |text| Some(text.to_owned()));
        (!any.is_empty()).then_some(any)
    }

    /// Text that is not blank.
    pub fn text(&mut self, path: &str) -> String {
        self.value(path, "text that is not empty", String::new(), |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    }
}

/// The text of a scalar; none for lists, tables and dates.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// A whole number above zero; `_` and `,` may group its digits.
pub fn parse_count(text: &str) -> Option<NonZeroUsize> {
    text.replace(['_', ','], "").parse().ok()
}

/// `true`, `false` and what is usual for them in environment variables.
pub fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A duration with its unit: `10ms`, `5s`, `10m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A size above zero, with or without a unit.
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0)?;
    usize::try_from(bytes).ok()
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

/// A duration as the settings write it.
pub fn show_duration(time: Duration) -> String {
    let millis = time.as_millis();
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= unit && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}

/// A size as the settings write it.
pub fn show_bytes(bytes: usize) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_need_sense() {
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse_duration("5 s"), Some(Duration::from_secs(5)));
        for bad in [
            "",
            "5",
            "s",
            "5 fortnights",
            "-1s",
            "1.5s",
            "99999999999999999999d",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_bytes("16MiB"), Some(16 << 20));
        assert_eq!(parse_bytes("1_000"), Some(1_000));
        for bad in ["", "0", "0MiB", "5 MiBi", "99999999999GiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 1u64..10_000_000_000, bytes in 1usize..1 << 40) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(time)), Some(time));
            prop_assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (parse_duration(&text), parse_bytes(&text), parse_count(&text), parse_switch(&text));
        }
    }
}
