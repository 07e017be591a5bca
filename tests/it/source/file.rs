//! Files as a source: cutting, decompression, resuming, and what cannot be read.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hookflow::event::{Provider, User};
use hookflow::source::file::fingerprint::{FileFingerprints, FingerprintHasher};
use hookflow::source::file::lines::{LineLimits, LineReader};
use hookflow::source::file::open;
use hookflow::source::file::{FileOptions, FileSource, Resume};
use hookflow::source::{EnvelopeDefaults, PartitionEvent, Record, RecordSender, Records, Stopped};
use proptest::prelude::*;

const BODY_BYTES_MAX: usize = 1 << 20;

fn options(provider: Option<&str>) -> FileOptions {
    FileOptions {
        defaults: EnvelopeDefaults {
            user: User::new("default"),
            provider: provider.map(Provider::new),
            known: hookflow::decode::providers().map(Provider::new).collect(),
        },
        body_bytes_max: BODY_BYTES_MAX,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

struct Read {
    parcels: Vec<Records>,
    partition_events: Vec<PartitionEvent>,
    fingerprints: FileFingerprints,
}

impl Read {
    fn lines(&self) -> Vec<(u64, Vec<u8>)> {
        let records = self.parcels.iter().flat_map(|parcel| &parcel.records);
        records
            .map(|record| match record {
                Record::Line(origin, text) => (origin.offset, text.to_vec()),
                Record::Message(message) => (message.origin.offset, message.body.to_vec()),
                Record::Ready(delivery) => (delivery.origin.offset, delivery.body.to_vec()),
            })
            .collect()
    }
}

fn read_all(specs: &[&Path], resume: HashMap<String, Resume>, provider: Option<&str>) -> Read {
    let specs: Vec<String> = specs
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let fingerprints = FileFingerprints::default();
    let source = FileSource::new(&specs, resume, options(provider));
    let source = source.with_fingerprints(fingerprints.clone());
    let (feed, taps) = RecordSender::channels(1, 4096);
    assert_eq!(source.run(feed), Ok(()));
    Read {
        parcels: taps.workers[0].iter().collect(),
        partition_events: taps.partition_events.iter().collect(),
        fingerprints,
    }
}

/// The split that anyone would write.
fn naive(bytes: &[u8], limits: LineLimits) -> Vec<(u64, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        let kept = if line.len() > limits.line_bytes_max {
            Some(&line[..limits.kept_bytes.min(line.len())])
        } else {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (!line.trim_ascii().is_empty()).then_some(line)
        };
        lines.extend(kept.map(|line| (at, line.to_vec())));
        at += line.len() as u64 + 1;
    }
    lines
}

/// A reader that gives as much at a time as it is told to.
struct Dribble<'a>(&'a [u8], usize);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(buffer.len()).min(self.0.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn cut(reader: impl std::io::Read, limits: LineLimits, total: u64) -> Vec<(u64, Vec<u8>)> {
    let mut reader = LineReader::new(reader, limits, 0, FingerprintHasher::default());
    let mut lines = Vec::new();
    let mut end = 0;
    while let Some(run) = reader.next_run().unwrap() {
        assert_eq!(run.start, end, "runs follow each other");
        assert!(run.end > run.start && run.lines.len() <= limits.lines_max);
        end = run.end;
        lines.extend(run.lines.iter().map(|(at, text)| (*at, text.to_vec())));
    }
    assert_eq!(end, total);
    lines
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn some_lines(n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in 0..n {
        writeln!(bytes, "{{\"n\":{at},\"pad\":\"{}\"}}", "x".repeat(at % 300)).unwrap();
    }
    bytes
}

proptest! {
    #[test]
    fn any_bytes_in_any_reads_give_the_naive_lines(
        bytes in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 8 => any::<u8>()], 0..600),
        block_bytes in 1usize..200,
        read_bytes in 1usize..100,
        line_bytes_max in 1usize..80,
        lines_max in 1usize..9,
        eager in any::<bool>(),
    ) {
        let limits = LineLimits { block_bytes, lines_max, line_bytes_max, kept_bytes: line_bytes_max / 2, eager };
        // Bytes that are no JSON, so that nothing is cut off twice.
        let bytes: Vec<u8> = bytes.into_iter().map(|b| if b.is_ascii_digit() { b'x' } else { b }).collect();
        let cut = cut(Dribble(&bytes, read_bytes), limits, bytes.len() as u64);
        prop_assert_eq!(cut, naive(&bytes, limits));
    }

    #[test]
    fn compressed_files_equal_plain_ones(bytes in proptest::collection::vec(any::<u8>(), 5..3000)) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let half = bytes.len() / 2;
        let plain = [b"line\n".as_slice(), &bytes].concat();
        let members = [gzip(b"line\n"), gzip(&bytes[..half]), gzip(&bytes[half..])].concat();
        let expected = read_all(&[&write("a", &plain)], HashMap::new(), None).lines();
        prop_assert_eq!(&expected, &naive(&plain, LineLimits::for_bodies(BODY_BYTES_MAX)));
        for (name, bytes) in [("b", members), ("c", zstd::encode_all(plain.as_slice(), 1).unwrap())] {
            prop_assert_eq!(&expected, &read_all(&[&write(name, &bytes)], HashMap::new(), None).lines());
        }
    }
}

fn resume_at(path: &Path, offset: u64, fingerprint: String) -> HashMap<String, Resume> {
    let resume = Resume {
        offset,
        fingerprint,
    };
    HashMap::from([(path.display().to_string(), resume)])
}

/// The fingerprint of an offset, computed from all bytes before it.
fn fingerprint_at(path: &Path, offset: u64) -> String {
    let mut reader = open::file(path).unwrap().reader;
    let hasher = FingerprintHasher::of_stream(&mut reader, offset).unwrap();
    hasher.unwrap().fingerprint().to_string()
}

fn restarted(read: &Read) -> bool {
    let restarted = |notice: &PartitionEvent| matches!(notice, PartitionEvent::Restarted { .. });
    read.partition_events.iter().any(restarted)
}

#[test]
fn partition_resumes_if_its_fingerprint_matches_in_any_compression() {
    let dir = tempfile::tempdir().unwrap();
    let plain = some_lines(5_000);
    let packed = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for (name, bytes) in [("a", plain.clone()), ("b", gzip(&plain)), ("c", packed)] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let whole = read_all(&[&path], HashMap::new(), None);
        assert_eq!(whole.lines().len(), 5_000);
        for parcel in &whole.parcels {
            let told = whole.fingerprints.at_offset(0, parcel.end).unwrap();
            assert_eq!(told, fingerprint_at(&path, parcel.end));
            let rest = read_all(&[&path], resume_at(&path, parcel.end, told), None);
            assert!(!restarted(&rest));
            let expected: Vec<_> = whole
                .lines()
                .into_iter()
                .filter(|(at, _)| *at >= parcel.end)
                .collect();
            assert_eq!(rest.lines(), expected);
        }
    }
}

#[test]
fn a_grown_file_resumes_and_a_changed_or_shorter_one_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let bytes = some_lines(3_000);
    std::fs::write(&path, &bytes).unwrap();
    let offset = read_all(&[&path], HashMap::new(), None).parcels[2].end;
    let told = fingerprint_at(&path, offset);

    std::fs::write(&path, [bytes.as_slice(), b"more"].concat()).unwrap();
    let grown = read_all(&[&path], resume_at(&path, offset, told.clone()), None);
    assert!(!restarted(&grown));
    assert_eq!(grown.lines().last().unwrap().1, b"more");

    for at in [10, offset as usize - 10] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        let again = read_all(&[&path], resume_at(&path, offset, told.clone()), None);
        assert!(
            restarted(&again) && again.lines().len() >= 2_999,
            "byte {at}"
        );
    }
    std::fs::write(&path, &bytes[..offset as usize - 1]).unwrap();
    let shorter = read_all(&[&path], resume_at(&path, offset, told), None);
    assert!(restarted(&shorter) && shorter.lines()[0].0 == 0);
}

#[test]
fn resume_reads_a_last_line_again_that_had_no_end() {
    let dir = tempfile::tempdir().unwrap();
    // The incomplete line is shorter, and longer, than what a fingerprint covers.
    for pad in [10, 300_000] {
        let line = format!("{{\"n\":1,\"pad\":\"{}\"}}", "x".repeat(pad));
        let incomplete = [some_lines(100), line.as_bytes()[..pad].to_vec()].concat();
        let complete = [
            some_lines(100),
            format!("{line}\n{{\"n\":2}}\n").into_bytes(),
        ]
        .concat();
        for packed in [false, true] {
            let path = dir.path().join(format!("{pad}-{packed}"));
            let write = |bytes: &[u8]| {
                let bytes = if packed { gzip(bytes) } else { bytes.to_vec() };
                std::fs::write(&path, bytes).unwrap();
            };
            write(&incomplete);
            let first = read_all(&[&path], HashMap::new(), None);
            let end = incomplete.len() as u64;
            let told = first.fingerprints.at_offset(0, end).unwrap();
            write(&complete);
            let second = read_all(&[&path], resume_at(&path, end, told), None);
            assert!(!restarted(&second));
            let start = some_lines(100).len() as u64;
            let expected = [
                (start, line.clone().into_bytes()),
                (start + line.len() as u64 + 1, b"{\"n\":2}".to_vec()),
            ];
            assert_eq!(second.lines(), expected, "{pad} {packed}");
        }
    }
}

#[test]
fn an_empty_file_has_an_end_that_can_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    std::fs::write(&path, "").unwrap();
    let read = read_all(&[&path], HashMap::new(), None);
    assert!(read.fingerprints.at_offset(0, 0).is_some());
}

#[test]
fn an_overlong_line_is_cut_off_and_the_next_one_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let long = format!("{{}}{}", " ".repeat(BODY_BYTES_MAX * 2 + (64 << 10)));
    std::fs::write(&path, format!("{{\"a\":1}}\n{long}\n{{\"b\":2}}")).unwrap();
    let lines = read_all(&[&path], HashMap::new(), None).lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[1],
        (8, b"{".to_vec()),
        "what is kept cannot pass for a delivery"
    );
    assert_eq!(lines[2], (9 + long.len() as u64, b"{\"b\":2}".to_vec()));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.gz");
    let packed = gzip(&some_lines(20_000));
    std::fs::write(&broken, &packed[..packed.len() - 100]).unwrap();
    let good = dir.path().join("good.jsonl");
    std::fs::write(&good, "\n\r\n  \n{}\n").unwrap();
    let read = read_all(
        &[&dir.path().join("absent"), &broken, &good],
        HashMap::new(),
        None,
    );
    let failed = |notice: &&PartitionEvent| {
        matches!(
            notice,
            PartitionEvent::Failed {
                partition: 0 | 1,
                ..
            }
        )
    };
    assert_eq!(read.partition_events.iter().filter(failed).count(), 2);
    assert!(
        read.lines().len() > 10_000,
        "what was whole before the damage is handed out"
    );
    assert_eq!(read.lines().last().unwrap(), &(6, b"{}".to_vec()));
}

#[test]
fn globs_and_folders_are_read_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.jsonl", "a.jsonl", "c.txt"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let texts = |read: Read| -> Vec<Vec<u8>> { read.lines().into_iter().map(|(_, t)| t).collect() };
    let both = [b"a.jsonl".to_vec(), b"b.jsonl".to_vec()];
    assert_eq!(
        texts(read_all(
            &[&dir.path().join("*.jsonl")],
            HashMap::new(),
            None
        )),
        both
    );
    assert_eq!(texts(read_all(&[dir.path()], HashMap::new(), None)), both);
}

#[test]
fn a_folder_of_bodies_is_read_with_the_requests_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let requests =
        r#"{"b.json":{"method":"GET","url":"https://x/?a=1","headers":{"svix-id":"m1"}}}"#;
    for (name, text) in [
        ("b.json", "{\"b\":1}"),
        ("a.txt", "a=1"),
        ("_requests.json", requests),
        ("_x", "no"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let read = read_all(&[dir.path()], HashMap::new(), Some("resend"));
    let ready: Vec<_> = read
        .parcels
        .iter()
        .flat_map(|parcel| &parcel.records)
        .collect();
    let [Record::Ready(a), Record::Ready(b)] = ready.as_slice() else {
        panic!("two deliveries, not {ready:?}");
    };
    assert_eq!(
        (a.method.as_str(), a.provider.as_str(), a.body.as_ref()),
        ("POST", "resend", b"a=1".as_slice())
    );
    assert_eq!(
        (b.method.as_str(), b.url.as_str()),
        ("GET", "https://x/?a=1")
    );
    assert_eq!(b.headers.get("Svix-Id").as_deref(), Some("m1"));
}

#[test]
fn a_raised_stop_flag_ends_the_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    std::fs::write(&path, some_lines(10)).unwrap();
    let mut options = options(None);
    options.stop = Arc::new(AtomicBool::new(true));
    let source = FileSource::new(&[path.display().to_string()], HashMap::new(), options);
    let (feed, taps) = RecordSender::channels(1, 8);
    assert_eq!(source.run(feed), Err(Stopped));
    assert_eq!(taps.workers[0].iter().count(), 0);
}
