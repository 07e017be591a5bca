//! From an address to a connection that can be used: greeting, TLS, login.

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
use crate::source::nats::config::{ConnectionConfig, Login};
use crate::source::nats::connect::{login_of_address, read, unreadable};

/// A stream of bytes in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is logged in and subscribed.
pub(super) struct Established {
    pub(super) stream: Box<dyn Stream>,
    pub(super) parser: Parser,
    pub(super) buffer: BytesMut,
}

/// The server's greeting, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    nonce: String,
    max_payload: usize,
    tls_required: bool,
}

/// The client's answer.
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
    login: LoginFields,
}

#[derive(Default, Serialize)]
struct LoginFields {
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
pub(super) async fn establish(
    address: &ServerAddr,
    named: &[ServerAddr],
    config: &ConnectionConfig,
    inbox: &str,
) -> Result<Established, ConnectError> {
    let stream = TcpStream::connect((address.host(), address.port())).await;
    let mut stream = stream.map_err(io_error)?;
    stream.set_nodelay(true).map_err(io_error)?;
    let (mut parser, mut buffer) = (Parser::new(), BytesMut::new());
    let Frame::Info(info) = next(&mut stream, &mut parser, &mut buffer).await? else {
        return Err(ConnectError::Transient(
            "NATS does not send its greeting".into(),
        ));
    };
    let info: Info = serde_json::from_slice(&info).map_err(io_error)?;
    // A stream that mirrors another one adds headers to what was published.
    parser.largest = info.max_payload.saturating_mul(2).max(1 << 20);
    let tls_required = config.tls_required || address.tls_required();
    let mut stream: Box<dyn Stream> = if tls_required || info.tls_required {
        Box::new(over_tls(stream, address.host(), config).await?)
    } else {
        Box::new(stream)
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
        login: login_fields(&config.login, named, &info.nonce)?,
        ..Connect::default()
    };
    let connect = serde_json::to_string(&connect).map_err(io_error)?;
    let commands = format!("CONNECT {connect}\r\nSUB {inbox}.> 1\r\nPING\r\n");
    stream
        .write_all(commands.as_bytes())
        .await
        .map_err(io_error)?;
    stream.flush().await.map_err(io_error)?;
    loop {
        match next(&mut stream, &mut parser, &mut buffer).await? {
            Frame::Pong => break,
            Frame::Refused(_) => return Err(ConnectError::Permanent(LOGIN_REFUSED.into())),
            _ => {}
        }
    }
    Ok(Established {
        stream,
        parser,
        buffer,
    })
}

const LOGIN_REFUSED: &str =
    "the NATS server refuses our login or our inbox: see the login settings under [nats]";

async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    parser: &mut Parser,
    buffer: &mut BytesMut,
) -> Result<Frame, ConnectError> {
    loop {
        if let Some(frame) = parser.next(buffer).map_err(io_error)? {
            return Ok(frame);
        }
        if stream.read_buf(buffer).await.map_err(io_error)? == 0 {
            return Err(ConnectError::Transient("NATS closed the connection".into()));
        }
    }
}

/// Only the kind of the error: texts of the system name addresses.
fn io_error(error: impl std::error::Error + 'static) -> ConnectError {
    let error: &dyn std::error::Error = &error;
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    ConnectError::Transient(kind.map_or_else(
        || "NATS answers with what is not its protocol".into(),
        |kind| format!("NATS cannot be reached ({kind})"),
    ))
}

fn login_fields(
    login: &Login,
    servers: &[ServerAddr],
    nonce: &str,
) -> Result<LoginFields, ConnectError> {
    let by_address = login_of_address(servers);
    let login = if matches!(login, Login::None) {
        &by_address
    } else {
        login
    };
    Ok(match login {
        Login::None => LoginFields::default(),
        Login::Password(user, password) => LoginFields {
            user: Some(user.clone()),
            pass: Some(password.reveal().to_owned()),
            ..LoginFields::default()
        },
        Login::Token(token) => LoginFields {
            auth_token: Some(token.reveal().to_owned()),
            ..LoginFields::default()
        },
        Login::Nkey(file) => {
            let seed = read(file).map_err(|error| unreadable("nats.nkey_seed_file", &error))?;
            let (nkey, sig) = signed(seed.trim(), nonce)?;
            LoginFields {
                nkey: Some(nkey),
                sig: Some(sig),
                ..LoginFields::default()
            }
        }
        Login::Credentials(file) => {
            let text = read(file).map_err(|error| unreadable("nats.credentials_file", &error))?;
            let mut blocks = blocks(&text);
            let (jwt, seed) = blocks.next().zip(blocks.next()).ok_or_else(unusable)?;
            let (_, sig) = signed(seed, nonce)?;
            LoginFields {
                jwt: Some(jwt.to_owned()),
                sig: Some(sig),
                ..LoginFields::default()
            }
        }
    })
}

/// The lines that follow those that begin a block.
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
