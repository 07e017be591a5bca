//! The section `[recipients]`: the sender's table of recipients and how it is polled.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::errors::{ConfigError, ConfigErrors};
use super::read::{SettingReader, parse_duration};
use crate::enrich::snapshot::LoadableRow;
use crate::enrich::tables::{DatabaseKind, DatabaseLocation, Overlap, Relation, UserTable};
use crate::postgres::PostgresTls;
use crate::recipient::{BatchRow, RecipientRow};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);

/// How recipients become known while a job runs.
#[derive(Clone, Debug)]
pub struct RecipientsConfig {
    /// The sender's own tables, if configured.
    pub tables: Option<RecipientTables>,
    /// How often new rows are polled.
    pub poll_interval: Duration,
    /// Rows that were sent longer ago are ignored.
    pub age_max: Option<Duration>,
}

/// The sender's own tables.
#[derive(Clone, Debug)]
pub struct RecipientTables {
    /// Where they are.
    pub place: DatabaseLocation,
    /// Recipients.
    pub recipients: UserTable,
    /// Batches.
    pub batches: Option<UserTable>,
    /// How far back each poll begins.
    pub overlap: Overlap,
    /// Rows of a page and of a transaction.
    pub chunk_rows: NonZeroUsize,
    /// Consecutive failed polls before the job is not ready.
    pub failed_polls_max: NonZeroUsize,
    /// The first poll seals batches.
    pub complete: bool,
}

/// Reads the section.
pub(super) fn read(reader: &mut SettingReader<'_>) -> RecipientsConfig {
    let servers = [
        ("none", None),
        ("postgres", Some(DatabaseKind::Postgres)),
        ("clickhouse", Some(DatabaseKind::ClickHouse)),
    ];
    let server = reader.choice("recipients.source", None, &servers);
    // All of it is read, so that mistakes are found before the section is switched on.
    let tables = read_tables(reader, server.unwrap_or(DatabaseKind::Postgres));
    RecipientsConfig {
        tables: server.map(|_| tables),
        poll_interval: reader.duration("recipients.poll_interval", SECOND / 10, HOUR),
        age_max: read_age_max(reader),
    }
}

fn read_tables(reader: &mut SettingReader<'_>, server: DatabaseKind) -> RecipientTables {
    let cursor = reader.optional_text("recipients.cursor");
    let recipients = read_given(reader, "recipients.", RecipientRow::COLUMNS.names, cursor);
    let cursor = reader.optional_text("recipients.batches_cursor");
    let batches = read_given(
        reader,
        "recipients.batches_",
        BatchRow::COLUMNS.names,
        cursor,
    );
    RecipientTables {
        place: read_place(reader, server),
        recipients,
        batches: Some(batches).filter(|given| !is_nothing(given)),
        overlap: Overlap {
            time: reader.duration("recipients.overlap", Duration::ZERO, 31 * 24 * HOUR),
            number: reader.count("recipients.overlap_number").get() as u64,
        },
        chunk_rows: reader.count("recipients.chunk_rows"),
        failed_polls_max: reader.count("recipients.failed_polls_max"),
        complete: reader.switch("recipients.complete"),
    }
}

fn read_place(reader: &mut SettingReader<'_>, server: DatabaseKind) -> DatabaseLocation {
    let ca_file = reader.optional_text("recipients.tls_ca_file");
    let ca_file = ca_file.map(PathBuf::from);
    let tls = [("off", false), ("require", true)];
    let required = reader.choice("recipients.tls", false, &tls);
    DatabaseLocation {
        server,
        url: reader.optional_text("recipients.url").unwrap_or_default(),
        user: reader.optional_text("recipients.user"),
        password: reader.optional_text("recipients.password"),
        tls: if required {
            PostgresTls::Require { ca_file }
        } else {
            PostgresTls::Off
        },
        connect_timeout: reader.duration("recipients.connect_timeout", SECOND / 10, HOUR),
        statement_timeout: reader.duration("recipients.statement_timeout", SECOND, 24 * HOUR),
    }
}

fn read_given(
    reader: &mut SettingReader<'_>,
    prefix: &'static str,
    ours: &[&'static str],
    cursor: Option<String>,
) -> UserTable {
    let table = reader.optional_text(&format!("{prefix}table"));
    let query = reader.optional_text(&format!("{prefix}query"));
    let hint = format!(
        "\"ours = theirs, ours = theirs\", where ours are {}",
        ours.join(", ")
    );
    let renamed = reader.value(
        &format!("{prefix}columns"),
        &hint,
        BTreeMap::new(),
        |text| renamed(text, ours),
    );
    UserTable {
        setting: match (prefix, &query) {
            ("recipients.", None) => "recipients.table",
            ("recipients.", Some(_)) => "recipients.query",
            (_, None) => "recipients.batches_table",
            (_, Some(_)) => "recipients.batches_query",
        },
        relation: match (table, query) {
            (Some(_), Some(_)) => Relation::Both,
            (_, Some(query)) => Relation::Query(query),
            (table, None) => Relation::Table(table.unwrap_or_default()),
        },
        renamed,
        cursor,
    }
}

fn is_nothing(given: &UserTable) -> bool {
    given.relation == Relation::Table(String::new())
}

/// `ours = theirs, …`.
fn renamed(text: &str, ours: &[&'static str]) -> Option<BTreeMap<String, String>> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs = pairs.map(|pair| {
        let (one, theirs) = pair.split_once('=')?;
        let (one, theirs) = (one.trim(), theirs.trim());
        let known = ours.contains(&one) && !theirs.is_empty();
        known.then(|| (one.to_owned(), theirs.to_owned()))
    });
    pairs.collect()
}

fn read_age_max(reader: &mut SettingReader<'_>) -> Option<Duration> {
    let hint = "\"none\" or a duration from \"1h\", such as \"90d\"";
    reader.value("recipients.age_max", hint, None, |text| match text {
        "none" => Some(None),
        time => parse_duration(time)
            .filter(|time| (HOUR..=CENTURY).contains(time))
            .map(Some),
    })
}

impl RecipientsConfig {
    /// Reports settings that are valid alone and contradict each other.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        let Some(tables) = &self.tables else { return };
        let mut expect = |holds: bool, key: &str, problem: &str, hint: &str| {
            if !holds {
                errors.push(ConfigError {
                    key: key.to_owned(),
                    value: None,
                    problem: problem.to_owned(),
                    hint: hint.to_owned(),
                });
            }
        };
        let DatabaseLocation { url, tls, .. } = &tables.place;
        let one = "give one of them";
        expect(
            !url.is_empty(),
            "recipients.url",
            "it is needed where recipients.source is not \"none\"",
            "\"postgres://user@host:5432/database\" or \"http://host:8123\"",
        );
        expect(
            !is_nothing(&tables.recipients) && tables.recipients.relation != Relation::Both,
            "recipients.table",
            "there must be recipients.table or recipients.query, and not both",
            one,
        );
        let batches = tables.batches.as_ref();
        expect(
            batches.is_none_or(|given| given.relation != Relation::Both),
            "recipients.batches_table",
            "there cannot be both recipients.batches_table and recipients.batches_query",
            one,
        );
        expect(
            tables.recipients.cursor.is_some(),
            "recipients.cursor",
            "the table is read in the order of a column that grows",
            "name one, such as \"id\" or \"created_at\"",
        );
        let plain = tables.place.server == DatabaseKind::ClickHouse && !url.starts_with("https://");
        expect(
            !plain || *tls == PostgresTls::Off,
            "recipients.tls",
            "TLS is required and recipients.url is plain",
            "write https:// in recipients.url",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FileText, load};

    fn errors(text: &str) -> String {
        let file = FileText {
            name: "f".into(),
            text: format!("[recipients]\n{text}"),
        };
        match load(Some(&file), &BTreeMap::new(), &[]) {
            Ok(_) => String::new(),
            Err(errors) => errors.to_string(),
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_said_at_once() {
        assert_eq!(errors(""), "");
        let nothing = errors("source = \"postgres\"");
        assert!(nothing.contains("recipients.url") && nothing.contains("recipients.table"));
        let both = errors(
            "source = \"clickhouse\"\nurl = \"http://h\"\ntls = \"require\"\ntable = \"t\"\nquery = \"SELECT 1\"\ncursor = \"\"",
        );
        for key in ["recipients.table", "recipients.tls", "recipients.cursor"] {
            assert!(both.contains(key), "{both}");
        }
        assert!(errors("columns = \"mesage_id = x\"").contains("message_id"));
    }

    #[test]
    fn columns_are_renamed() {
        let renamed = renamed(
            " user_id = tenant,message_id=smtp_id ,",
            RecipientRow::COLUMNS.names,
        );
        let renamed = renamed.unwrap();
        assert_eq!(renamed["user_id"], "tenant");
        assert_eq!(renamed["message_id"], "smtp_id");
    }
}
