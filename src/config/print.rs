//! Prints the configuration in effect as TOML that can be read back, with the source of each value.

use std::fmt::Write;

use toml::Value;

use super::layers::{Layers, Setting};

/// The settings as TOML, each with its source as a comment. Secrets are hidden.
pub fn render(layers: &Layers) -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in layers.all() {
        if setting.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = &setting.section;
            writeln!(out, "{gap}[{section}]").unwrap_or_default();
        }
        let assignment = format!("{} = {}", setting.key, shown(setting));
        writeln!(out, "{assignment:<40} # {}", setting.origin).unwrap_or_default();
    }
    out
}

/// A value for people: secrets, and passwords in addresses, are hidden.
pub fn shown(setting: &Setting) -> String {
    const SECRETS: [&str; 4] = ["password", "secret", "token", "key_file"];
    let empty = matches!(&setting.value, Value::String(text) if text.is_empty());
    if !empty && SECRETS.iter().any(|word| setting.key.contains(word)) {
        return "\"(hidden)\"".to_owned();
    }
    match &setting.value {
        Value::String(text) if text.contains("password=") => "\"(hidden)\"".to_owned(),
        Value::String(text) => Value::String(without_userinfo(text)).to_string(),
        other => other.to_string(),
    }
}

/// `scheme://user:password@host` without user and password.
fn without_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}(hidden)@{}", &text[..scheme + 3], &text[at + 1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ValueSource;

    fn setting(key: &str, value: &str) -> Setting {
        Setting {
            section: "nats".into(),
            key: key.into(),
            value: Value::String(value.into()),
            origin: ValueSource::Default,
        }
    }

    #[test]
    fn secrets_are_hidden() {
        assert_eq!(shown(&setting("password", "hunter2")), "\"(hidden)\"");
        let address = shown(&setting("servers", "nats://me:hunter2@host:4222"));
        assert_eq!(address, "\"nats://(hidden)@host:4222\"");
        assert_eq!(shown(&setting("dir", "a@b")), "\"a@b\"");
        let words = shown(&setting("url", "host=h password=hunter2"));
        assert_eq!(words, "\"(hidden)\"");
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_settings() {
        let printed: toml::Table = toml::from_str(&render(&Layers::defaults())).unwrap();
        let defaults: toml::Table = toml::from_str(crate::config::DEFAULTS).unwrap();
        assert_eq!(printed, defaults);
    }
}
