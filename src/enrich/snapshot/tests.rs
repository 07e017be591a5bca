//! Files good and bad.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]

use std::io::Write;

use super::*;
use crate::error::Exit;

const HEADER: &str = "provider,message_id,recipient,user_id,batch_id,recipient_id,sent_at\n";

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read(path: &Path, chunk_rows: usize) -> Vec<RowChunk<RecipientRow>> {
    let options = SnapshotOptions {
        chunk_rows,
        ..SnapshotOptions::default()
    };
    let chunks = recipients(path, &options).unwrap();
    chunks.map(Result::unwrap).collect()
}

#[test]
fn csv_and_json_lines_say_the_same() {
    let csv = format!("{HEADER}SES,<m1>,A@Example.org,,b1,007,2026-01-02T03:04:05Z\n");
    let json = r#"{"provider":"ses","message_id":"m1","recipient":"a@example.org","user_id":null,"batch_id":"b1","recipient_id":"007","sent_at":"2026-01-02T03:04:05Z"}"#;
    let (_a, csv) = file("r.csv", csv.as_bytes());
    let (_b, json) = file("r.jsonl", json.as_bytes());
    let rows = read(&csv, 10).remove(0).rows;
    assert_eq!(rows, read(&json, 10).remove(0).rows);
    assert_eq!(rows[0].user.as_str(), "default");
    assert_eq!(rows[0].recipient_id, "007");
    assert_eq!(rows[0].recipient, "a@example.org");
}

#[test]
fn compressed_files_are_read() {
    let csv = format!("{HEADER}ses,m1,a@example.org,u,b1,r1,\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    let (_a, gz) = file("r.csv.gz", &gzip.finish().unwrap());
    let (_b, zst) = file("r.csv.zst", &zstd::encode_all(csv.as_bytes(), 1).unwrap());
    assert_eq!(read(&gz, 10)[0].rows, read(&zst, 10)[0].rows);
}

#[test]
fn a_bad_row_is_named_and_the_rest_goes_on() {
    let csv = format!(
        "{HEADER}ses,,a@example.org,u,b1,r1,\nses,m2,b@example.org,u,b1,r2,yesterday\nses,m3,c@example.org,u,b1,r3,\n"
    );
    let (_dir, path) = file("r.csv", csv.as_bytes());
    let chunk = read(&path, 10).remove(0);
    assert_eq!(chunk.rows.len(), 1);
    let said: Vec<_> = chunk
        .bad
        .iter()
        .map(|bad| (bad.line, bad.reason.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (2, "message_id is empty"),
            (3, "sent_at is no RFC 3339 time")
        ]
    );
    let (_dir, path) = file("r.jsonl", b"nonsense\n[1]\n\n");
    let bad = read(&path, 10).remove(0).bad;
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_missing_column_or_file_stops_it() {
    let (_dir, path) = file(
        "r.csv",
        b"provider,message_id,recipient,batch_id,recipient_id\n",
    );
    let fatal = recipients(&path, &SnapshotOptions::default()).unwrap_err();
    assert_eq!(fatal.exit, Exit::Config);
    assert!(fatal.message.contains("user_id"));
    let (_dir, path) = file("b.jsonl", b"{\"id\":\"b1\"}\n{\"id\":\"b2\"}\n");
    let mut chunks = batches(&path, &SnapshotOptions::default()).unwrap();
    assert_eq!(chunks.next().unwrap().unwrap_err().exit, Exit::Config);
    assert!(chunks.next().is_none());
    let fatal = recipients(&path.with_extension("csv"), &SnapshotOptions::default()).unwrap_err();
    assert_eq!(fatal.exit, Exit::Input);
}

/// The failure of a file whose chunks are read to the end.
fn refusal(path: &Path) -> Fatal {
    let chunks = recipients(path, &SnapshotOptions::default()).unwrap();
    chunks
        .filter_map(Result::err)
        .next()
        .expect("the file is refused")
}

#[test]
fn csv_with_an_unclosed_quote_is_refused_with_its_line() {
    let rows = |count: u32| -> String {
        let row = |n| format!("ses,m{n},r{n}@example.org,u,b1,r{n},\n");
        (0..count).map(row).collect()
    };
    let broken = [
        // Everything to the end of the file, or to a later quote, becomes one field.
        format!(
            "{HEADER}{}ses,\"m9,x@example.org,u,b1,x,\n{}",
            rows(3),
            rows(9)
        ),
        format!(
            "{HEADER}{}ses,\"m9,x@example.org,u,b1,x,\n{}ses,\"m8\",y@example.org,u,b1,y,\n",
            rows(3),
            rows(9)
        ),
        // The quote is in the last column, or the row is the last one and has no line end.
        format!(
            "{HEADER}{}ses,m9,x@example.org,u,b1,x,\"\n{}",
            rows(3),
            rows(9)
        ),
        format!("{HEADER}{}ses,m9,x@example.org,u,b1,\"x", rows(3)),
    ];
    for csv in broken {
        let (_dir, path) = file("r.csv", csv.as_bytes());
        let fatal = refusal(&path);
        assert_eq!(fatal.exit, Exit::Input);
        assert!(fatal.message.contains("r.csv:5: "), "{fatal:?}");
        assert!(fatal.message.contains("quote"), "{fatal:?}");
    }
    let (_dir, path) = file(
        "r.csv",
        b"provider,\"message_id,recipient\nses,m1,a@example.org\n",
    );
    let fatal = recipients(&path, &SnapshotOptions::default()).unwrap_err();
    assert!(fatal.message.contains("r.csv:1: "), "{fatal:?}");
}

#[test]
fn csv_with_swallowed_rows_in_a_column_that_is_not_read_is_refused() {
    let header = HEADER.replace("sent_at", "name");
    let csv = format!(
        "{header}ses,m1,a@example.org,u,b1,r1,\"Bob\nses,m2,b@example.org,u,b1,r2,Eve\nses,m3,c@example.org,u,b1,r3,\"Ann\"\n"
    );
    let (_dir, path) = file("r.csv", csv.as_bytes());
    assert!(refusal(&path).message.contains("r.csv:2: "));
    let csv = format!(
        "{header}ses,m1,a@example.org,u,b1,r1,\"Bob,\nthe \"\"builder\"\", and\nhis team\"\n"
    );
    let (_dir, path) = file("r.csv", csv.as_bytes());
    assert_eq!(
        read(&path, 10)[0].rows.len(),
        1,
        "a note of some lines is fine"
    );
}

#[test]
fn csv_row_over_the_size_limit_is_refused_without_reading_on() {
    let mut csv =
        format!("{HEADER}ses,m1,a@example.org,u,b1,r1,\nses,m2,\"b@example.org,").into_bytes();
    csv.extend(std::iter::repeat_n(b'x', 8 << 20));
    let (_dir, path) = file("r.csv", &csv);
    let fatal = refusal(&path);
    assert!(
        fatal
            .message
            .contains("r.csv:3: the row is longer than 1 MiB"),
        "{fatal:?}"
    );
    let long = format!(
        "{HEADER}ses,m1,a@example.org,u,b1,r1,{}\n",
        "x".repeat(1 << 20)
    );
    let (_dir, path) = file("r.csv", long.as_bytes());
    assert!(refusal(&path).message.contains("r.csv:2: "));
}

#[test]
fn csv_ends_well_with_and_without_a_last_line_end() {
    for end in ["", "\n", "\r\n", "\n\n"] {
        let csv = format!("{HEADER}ses,m1,a@example.org,u,b1,r1,{end}");
        let (_dir, path) = file("r.csv", csv.as_bytes());
        let chunks = read(&path, 10);
        assert_eq!((chunks.len(), chunks[0].rows.len()), (1, 1));
        assert!(chunks[0].bad.is_empty());
        let (_dir, path) = file("r.csv", HEADER.trim_end().as_bytes());
        assert!(read(&path, 10).is_empty());
    }
}

#[test]
fn no_chunk_ends_inside_a_message() {
    let mut csv = HEADER.to_owned();
    for n in 0..30 {
        csv += &format!("ses,m{},r{n}@example.org,u,b,r{n},\n", n / 3);
    }
    let (_dir, path) = file("r.csv", csv.as_bytes());
    let chunks = read(&path, 4);
    let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.rows.len()).collect();
    assert_eq!(sizes, [6, 6, 6, 6, 6]);
}

#[test]
fn batches_are_read() {
    let json =
        br#"{"id":"b1","user":"","total":3,"sealed_at":"2026-01-01T00:00:00Z","deadline":null}
{"id":"b2","user":"u","total":-1,"sealed_at":null}"#;
    let (_dir, path) = file("b.jsonl", json);
    let chunk = batches(&path, &SnapshotOptions::default())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(chunk.rows[0].total, Some(3));
    assert_eq!(chunk.rows[0].user.as_str(), "default");
    assert_eq!(chunk.bad[0].reason, "total is no count");
}
