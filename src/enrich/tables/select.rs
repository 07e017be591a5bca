//! The SELECT of a poll, for any dialect.

use super::cursor::{TableCursor, TableCursorKind};
use super::given::{Relation, UserTable};
use super::{TableError, TableQuery};
use crate::event::Millis;

/// What a column holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Number,
    Time,
    Other,
}

/// A column of what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnInfo {
    pub(super) name: String,
    /// The database's name of its type.
    pub(super) of: String,
    pub(super) kind: ColumnType,
}

/// How a database writes things.
pub(super) trait Dialect {
    /// A name, quoted.
    fn quoted(&self, name: &str) -> String;
    /// A column as text; times as RFC 3339 in UTC.
    fn text(&self, column: &ColumnInfo) -> String;
    /// NULL as text.
    fn no_text(&self) -> &'static str;
    /// A cursor as a 64-bit number: itself, or microseconds since 1970.
    fn number(&self, column: &ColumnInfo, kind: TableCursorKind) -> String;
    /// No cursor.
    fn no_number(&self) -> &'static str;
    /// A time that can be compared with a column of times, from microseconds.
    fn time(&self, micros: i64, column: &ColumnInfo) -> String;
    /// The list of all fields and the cursor.
    fn list(&self, fields: &[String], cursor: &str) -> String;
}

/// Our names of the columns that name a message.
const MESSAGE: [&str; 3] = ["provider", "message_id", "user_id"];

/// What stands behind FROM.
pub(super) fn source(dialect: &dyn Dialect, from: &Relation) -> String {
    match from {
        Relation::Both => String::new(),
        Relation::Table(name) => name
            .split('.')
            .map(|part| dialect.quoted(part))
            .collect::<Vec<_>>()
            .join("."),
        // The line break ends a comment that the query may end with.
        Relation::Query(query) => format!("({}\n)", query.trim().trim_end_matches(';')),
    }
}

/// The statement, and the kind of its cursor.
pub(super) fn select(
    dialect: &dyn Dialect,
    query: &TableQuery<'_>,
    has: &[ColumnInfo],
) -> Result<(String, Option<TableCursorKind>), TableError> {
    let columns = columns(query, has)?;
    let cursor = cursor(query.given, has)?;
    let fields: Vec<String> = columns
        .iter()
        .map(|column| column.map_or_else(|| dialect.no_text().to_owned(), |c| dialect.text(c)))
        .collect();
    let number = cursor.map_or_else(
        || dialect.no_number().to_owned(),
        |(column, kind)| dialect.number(column, kind),
    );
    let mut sql = format!(
        "SELECT {} FROM {} AS given",
        dialect.list(&fields, &number),
        source(dialect, &query.given.relation)
    );
    let conditions = conditions(dialect, query, cursor, has);
    if !conditions.is_empty() {
        sql += &format!(" WHERE {}", conditions.join(" AND "));
    }
    if let Some((column, _)) = cursor {
        // Rows of one message that share a cursor follow each other.
        let message = query
            .columns
            .names
            .iter()
            .filter(|name| MESSAGE.contains(name));
        let order: Vec<String> = [column.name.as_str()]
            .into_iter()
            .chain(message.map(|name| query.given.name(name)))
            .map(|name| dialect.quoted(name))
            .collect();
        sql += &format!(" ORDER BY {}", order.join(", "));
    }
    Ok((sql, cursor.map(|(_, kind)| kind)))
}

/// For each of our columns theirs; those that may be missing may be missing.
fn columns<'a>(
    query: &TableQuery<'_>,
    has: &'a [ColumnInfo],
) -> Result<Vec<Option<&'a ColumnInfo>>, TableError> {
    let found: Vec<Option<&ColumnInfo>> = query
        .columns
        .names
        .iter()
        .map(|ours| find(has, query.given.name(ours)))
        .collect();
    let missing: Vec<&str> = query
        .columns
        .names
        .iter()
        .zip(&found)
        .enumerate()
        .filter(|(index, (ours, found))| {
            let required =
                *index < query.columns.required || query.given.renamed.contains_key(**ours);
            required && found.is_none()
        })
        .map(|(_, (ours, _))| query.given.name(ours))
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let advice = format!(
        "{}: no column {}; name the right ones in {}, or use a query that gives them, even if they are empty",
        query.given.setting,
        missing.join(", "),
        query.given.setting.replace("table", "columns"),
    );
    Err(TableError::Config(advice))
}

fn find<'a>(has: &'a [ColumnInfo], name: &str) -> Option<&'a ColumnInfo> {
    has.iter().find(|column| column.name == name)
}

fn cursor<'a>(
    given: &UserTable,
    has: &'a [ColumnInfo],
) -> Result<Option<(&'a ColumnInfo, TableCursorKind)>, TableError> {
    let Some(name) = &given.cursor else {
        return Ok(None);
    };
    let setting = given.setting.replace("table", "cursor");
    let Some(column) = find(has, name) else {
        return Err(TableError::Config(format!(
            "{setting}: there is no column {name}"
        )));
    };
    match column.kind {
        ColumnType::Number => Ok(Some((column, TableCursorKind::Number))),
        ColumnType::Time => Ok(Some((column, TableCursorKind::Time))),
        ColumnType::Other => Err(TableError::Config(format!(
            "{setting}: {name} is of type {}; it must be a whole number of at most 64 bits or a time",
            column.of
        ))),
    }
}

fn conditions(
    dialect: &dyn Dialect,
    query: &TableQuery<'_>,
    cursor: Option<(&ColumnInfo, TableCursorKind)>,
    has: &[ColumnInfo],
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some((column, kind)) = cursor {
        let name = dialect.quoted(&column.name);
        conditions.push(format!("{name} IS NOT NULL"));
        if let Some(from) = query.from.filter(|from| from.kind() == kind) {
            let least = match from {
                TableCursor::Number(value) => value.to_string(),
                TableCursor::Time(micros) => dialect.time(micros, column),
            };
            conditions.push(format!("{name} >= {least}"));
        }
    }
    let sent = find(has, query.given.name("sent_at")).filter(|sent| sent.kind == ColumnType::Time);
    if let (Some(sent), Some(Millis(since))) = (sent, query.sent_since) {
        let name = dialect.quoted(&sent.name);
        let since = dialect.time(since.saturating_mul(1_000), sent);
        conditions.push(format!("({name} IS NULL OR {name} >= {since})"));
    }
    conditions
}
