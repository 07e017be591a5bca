use proptest::prelude::*;

use super::*;

fn parser() -> Parser {
    Parser {
        largest: 1_000,
        ..Parser::new()
    }
}

/// All frames of some text that comes in pieces of that size, and how it ended.
fn frames(text: &[u8], piece: usize) -> (Vec<Frame>, Result<(), Malformed>) {
    let (mut parser, mut buffer, mut frames) = (parser(), BytesMut::new(), Vec::new());
    for piece in text.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

fn message(frame: &Frame) -> (Bytes, Bytes, Bytes, Bytes) {
    let Frame::Message(message) = frame else {
        panic!("{frame:?}")
    };
    (
        message.subject(),
        message.reply(),
        message.headers(),
        message.payload(),
    )
}

const HEADERS: &str = "NATS/1.0\r\nA: 1\r\nb:2 \r\n\r\n";

fn conversation() -> Vec<u8> {
    let (length, total) = (HEADERS.len(), HEADERS.len() + 5);
    format!(
        "INFO {{\"version\":\"2.10.0\"}}\r\n+OK\r\nMSG a.b 1 5\r\nhel\r\n\r\nPING\r\nMSG a.b 1 in.box 0\r\n\r\n\
         HMSG a.b 1 in.box {length} {total}\r\n{HEADERS}world\r\nHMSG c  1 {length} {length}\r\n{HEADERS}\r\n-ERR 'No'\r\nPONG\r\n"
    )
    .into_bytes()
}

#[test]
fn a_conversation_is_read_however_it_is_cut() {
    let text = conversation();
    let (whole, ended) = frames(&text, text.len());
    assert_eq!((whole.len(), ended), (9, Ok(())));
    assert_eq!(
        message(&whole[2]),
        ("a.b".into(), "".into(), "".into(), "hel\r\n".into())
    );
    assert_eq!(
        message(&whole[4]),
        ("a.b".into(), "in.box".into(), "".into(), "".into())
    );
    assert_eq!(
        message(&whole[5]),
        (
            "a.b".into(),
            "in.box".into(),
            HEADERS.into(),
            "world".into()
        )
    );
    assert_eq!(
        message(&whole[6]),
        ("c".into(), "".into(), HEADERS.into(), "".into())
    );
    assert_eq!(whole[7], Frame::Refused("No".into()));
    for piece in 1..text.len() {
        assert_eq!(
            frames(&text, piece),
            (whole.clone(), Ok(())),
            "in pieces of {piece}"
        );
    }
}

#[test]
fn what_is_no_message_ends_the_reading() {
    for (text, error) in [
        ("HELLO\r\n", Malformed::Unknown),
        ("\r\n", Malformed::Unknown),
        ("MSG \r\n", Malformed::Message),
        ("MSG a 1\r\n", Malformed::Message),
        ("MSG a 1 b c 1\r\n", Malformed::Message),
        ("MSG a 1 -1\r\n", Malformed::Message),
        ("MSG a 1 +1\r\n", Malformed::Message),
        ("MSG a 1 99999999999999999999\r\n", Malformed::Message),
        ("MSG a 1 1001\r\n", Malformed::Large),
        ("MSG a 1 1\r\nab\r\n", Malformed::Message),
        ("HMSG a 1 1\r\n", Malformed::Message),
        ("HMSG a 1 2 1\r\nx\r\n", Malformed::Message),
        ("HMSG a 1 b c d 1\r\n", Malformed::Message),
        ("HMSG a 1 999999999 999999999\r\n", Malformed::Large),
    ] {
        assert_eq!(frames(text.as_bytes(), 3).1, Err(error), "{text:?}");
    }
    assert_eq!(
        frames(&vec![b'M'; LINE_MAX], 1 << 16).1,
        Err(Malformed::Unknown)
    );
}

fn status(headers: &str) -> Option<(u16, String)> {
    let text = format!("HMSG a 1 {0} {0}\r\n{headers}\r\n", headers.len());
    let (frames, ended) = frames(text.as_bytes(), usize::MAX);
    ended.unwrap();
    let [Frame::Message(message)] = &frames[..] else {
        panic!("{frames:?}")
    };
    message.status().map(|(code, text)| (code, text.to_owned()))
}

#[test]
fn the_servers_own_words_are_told_from_peoples() {
    assert_eq!(
        status("NATS/1.0 404 No Messages\r\n\r\n"),
        Some((404, "No Messages".into()))
    );
    assert_eq!(status("NATS/1.0 503\r\n\r\n"), Some((503, String::new())));
    for none in [
        HEADERS,
        "",
        "NATS/1.0",
        "NATS/1.0\r\nA: 404 x\r\n\r\n",
        "HTTP/1.1 404 x\r\n",
    ] {
        assert_eq!(status(none), None, "{none:?}");
    }
}

#[test]
fn headers_are_found_without_regard_to_case() {
    let text =
        "NATS/1.0\r\nNats-Pending-Messages: 7\r\n folded\r\nnonsense\r\n:x\r\nEmpty:\r\n\r\n";
    let all: Vec<_> = header_lines(text.as_bytes()).collect();
    let expected: [(&[u8], &[u8]); 3] = [
        (b"Nats-Pending-Messages", b"7"),
        (b"", b"x"),
        (b"Empty", b""),
    ];
    assert_eq!(all, expected);
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..50) {
        frames(&bytes, piece).1.ok();
        bytes.splice(0..0, *b"HMSG a 1 5 10\r\n");
        frames(&bytes, piece).1.ok();
        header_lines(&bytes).for_each(drop);
    }

    #[test]
    fn no_damaged_conversation_panics(at in 0usize..200, byte: u8, piece in 1usize..50) {
        let mut text = conversation();
        let at = at % text.len();
        text[at] = byte;
        let (cut, ended) = frames(&text, piece);
        prop_assert_eq!(frames(&text, text.len()), (cut, ended));
    }

    #[test]
    fn what_is_written_is_read(subject in "[a-z.]{1,40}", reply in "[a-z.]{0,40}", headers in any::<Option<String>>(), payload: Vec<u8>) {
        let headers = headers.filter(|headers| headers.len() + payload.len() < 1_000).map(|text| format!("NATS/1.0\r\n{text}"));
        let block = headers.clone().unwrap_or_default();
        let (length, total) = (block.len(), block.len() + payload.len());
        let mut text = match headers {
            Some(_) => format!("HMSG {subject} 12 {reply} {length} {total}\r\n{block}"),
            None => format!("MSG {subject} 12 {reply} {total}\r\n"),
        }.into_bytes();
        text.extend(&payload);
        text.extend(b"\r\n");
        prop_assume!(total <= 1_000);
        let (all, ended) = frames(&text, 17);
        prop_assert_eq!(ended, Ok(()));
        prop_assert_eq!(message(&all[0]), (subject.into(), reply.into(), block.into(), payload.into()));
        prop_assert_eq!(all.len(), 1);
    }
}
