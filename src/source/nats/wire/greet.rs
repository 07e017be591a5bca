//! From an address to a connection that may be used: greeting, TLS, login.

use async_nats::ServerAddr;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::parse::{Frame, Parser};
use super::tls::over_tls;
use crate::source::connect_error::ConnectError;
use crate::source::nats::connect::{named_by_address, read, unreadable};
use crate::source::nats::settings::{Connection, Login};

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection over which messages may come.
pub(super) struct Greeted {
    pub(super) stream: Box<dyn Stream>,
    pub(super) parser: Parser,
    pub(super) buffer: BytesMut,
}

/// What a server says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    nonce: String,
    max_payload: usize,
    tls_required: bool,
}

/// What we say of ourselves.
#[derive(Default, Serialize)]
struct Connect {
    verbose: bool,
    pedantic: bool,
    headers: bool,
    no_responders: bool,
    echo: bool,
    tls_required: bool,
    protocol: u8,
    name: &'static str,
    lang: &'static str,
    version: &'static str,
    #[serde(flatten)]
    who: Who,
}

#[derive(Default, Serialize)]
struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

/// Connects, logs in, and subscribes to everything below an inbox.
pub(super) async fn greeted(
    address: &ServerAddr,
    named: &[ServerAddr],
    connection: &Connection,
    inbox: &str,
) -> Result<Greeted, ConnectError> {
    let stream = TcpStream::connect((address.host(), address.port())).await;
    let mut stream = stream.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    let (mut parser, mut buffer) = (Parser::new(), BytesMut::new());
    let Frame::Info(info) = next(&mut stream, &mut parser, &mut buffer).await? else {
        return Err(ConnectError::Transient("NATS does not greet".into()));
    };
    let info: Info = serde_json::from_slice(&info).map_err(broken)?;
    // A stream that is fed by another one adds headers to what was published.
    parser.largest = info.max_payload.saturating_mul(2).max(1 << 20);
    let tls_required = connection.tls_required || address.tls_required();
    let mut stream: Box<dyn Stream> = match tls_required || info.tls_required {
        true => Box::new(over_tls(stream, address.host(), connection).await?),
        false => Box::new(stream),
    };
    let connect = Connect {
        headers: true,
        no_responders: true,
        echo: true,
        tls_required,
        protocol: 1,
        name: "hookflow",
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        who: who(&connection.login, named, &info.nonce)?,
        ..Connect::default()
    };
    let connect = serde_json::to_string(&connect).map_err(broken)?;
    let words = format!("CONNECT {connect}\r\nSUB {inbox}.> 1\r\nPING\r\n");
    stream.write_all(words.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    loop {
        match next(&mut stream, &mut parser, &mut buffer).await? {
            Frame::Pong => break,
            Frame::Refused(_) => return Err(ConnectError::Permanent(NOT_LET_IN.into())),
            _ => {}
        }
    }
    Ok(Greeted {
        stream,
        parser,
        buffer,
    })
}

const NOT_LET_IN: &str =
    "the NATS server refuses our login or our inbox: see the login settings under [nats]";

async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    parser: &mut Parser,
    buffer: &mut BytesMut,
) -> Result<Frame, ConnectError> {
    loop {
        if let Some(frame) = parser.next(buffer).map_err(broken)? {
            return Ok(frame);
        }
        if stream.read_buf(buffer).await.map_err(broken)? == 0 {
            return Err(ConnectError::Transient("NATS closed the connection".into()));
        }
    }
}

/// Only the kind of it: texts of the system name addresses.
fn broken(error: impl std::error::Error + 'static) -> ConnectError {
    let error: &dyn std::error::Error = &error;
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    ConnectError::Transient(kind.map_or_else(
        || "NATS cannot be understood".into(),
        |kind| format!("NATS cannot be reached ({kind})"),
    ))
}

fn who(login: &Login, servers: &[ServerAddr], nonce: &str) -> Result<Who, ConnectError> {
    let by_address = named_by_address(servers);
    let login = if matches!(login, Login::None) {
        &by_address
    } else {
        login
    };
    Ok(match login {
        Login::None => Who::default(),
        Login::Password(user, password) => Who {
            user: Some(user.clone()),
            pass: Some(password.reveal().to_owned()),
            ..Who::default()
        },
        Login::Token(token) => Who {
            auth_token: Some(token.reveal().to_owned()),
            ..Who::default()
        },
        Login::Nkey(file) => {
            let seed = read(file).map_err(|error| unreadable("nats.nkey_seed_file", &error))?;
            let (nkey, sig) = signed(seed.trim(), nonce)?;
            Who {
                nkey: Some(nkey),
                sig: Some(sig),
                ..Who::default()
            }
        }
        Login::Credentials(file) => {
            let text = read(file).map_err(|error| unreadable("nats.credentials_file", &error))?;
            let mut blocks = blocks(&text);
            let (jwt, seed) = blocks.next().zip(blocks.next()).ok_or_else(unusable)?;
            let (_, sig) = signed(seed, nonce)?;
            Who {
                jwt: Some(jwt.to_owned()),
                sig: Some(sig),
                ..Who::default()
            }
        }
    })
}

/// The lines behind those that begin a block.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let begins = |line: &str| line.starts_with("---") && line.contains("BEGIN");
    let lines = text.lines().zip(text.lines().skip(1));
    lines
        .filter(move |(line, _)| begins(line))
        .map(|(_, block)| block.trim())
}

fn signed(seed: &str, nonce: &str) -> Result<(String, String), ConnectError> {
    let key = KeyPair::from_seed(seed).map_err(|_| unusable())?;
    let signature = key.sign(nonce.as_bytes()).map_err(|_| unusable())?;
    Ok((key.public_key(), URL_SAFE_NO_PAD.encode(signature)))
}

fn unusable() -> ConnectError {
    ConnectError::Permanent("the nkey or credentials cannot be used to log in to NATS: see the files named under [nats]".into())
}
