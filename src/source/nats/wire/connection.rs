//! The connection on which messages arrive: opened, read, and opened again when it breaks.
//!
//! Contract: the future of [`Connection::arrived`] may be dropped at any moment without loss; messages that were asked for over a
//! connection that broke never come; answers to [`Connection::ping`] come after everything that the server sent before.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::{Client, ServerAddr};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::handshake::{Established, establish};
use super::parse::{Frame, Incoming};
use crate::source::connect_error::ConnectError;
use crate::source::nats::config::ConnectionConfig;
use crate::source::nats::connect::addresses;

/// Most messages taken at once.
const BATCH: usize = 2048;
/// What is read at once; a message that is still held keeps as much memory alive.
const CHUNK: usize = 128 * 1024;
/// Where less room is left, a new chunk begins.
const ROOM: usize = 8 * 1024;
/// How long a server may be silent when it was asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long opening may take.
const OPENING: Duration = Duration::from_secs(5);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(1);

/// The outcome of waiting.
#[derive(Debug)]
pub enum Arrived {
    /// Messages, or the answer to a question.
    Messages,
    /// The connection is a new one.
    Opened,
    /// The connection is lost, or could not be made, and will be tried again.
    Lost(ConnectError),
}

/// The connection, or the attempt to make one.
pub struct Connection {
    config: ConnectionConfig,
    client: Client,
    inbox: String,
    state: State,
    failures: u32,
    /// Questions asked and answered, of all connections.
    asked: u64,
    answered: u64,
}

enum State {
    Opening(JoinHandle<Result<Established, ConnectError>>),
    Open(Box<OpenConnection>),
}

impl Connection {
    /// Begins to connect.
    pub fn new(config: ConnectionConfig, client: Client) -> Self {
        let inbox = client.new_inbox();
        Self {
            state: State::Opening(opening(&config, &client, &inbox, Duration::ZERO)),
            config,
            client,
            inbox,
            failures: 0,
            asked: 0,
            answered: 0,
        }
    }

    /// The prefix of the subjects to which answers to requests are sent.
    pub fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Waits for messages, and takes all that have come.
    pub async fn arrived(&mut self, batch: &mut Vec<Incoming>) -> Arrived {
        let arrived = poll_fn(|context| self.poll(context, batch));
        tokio::task::unconstrained(arrived).await
    }

    fn poll(&mut self, context: &mut Context<'_>, batch: &mut Vec<Incoming>) -> Poll<Arrived> {
        let ended = match &mut self.state {
            State::Open(open) => match ready!(open.poll(context, batch)) {
                Ok(answers) => {
                    self.answered = (self.answered + answers).min(self.asked);
                    return Poll::Ready(Arrived::Messages);
                }
                Err(error) => error,
            },
            State::Opening(task) => match ready!(Pin::new(task).poll(context)) {
                Ok(Ok(established)) => {
                    self.failures = 0;
                    self.state = State::Open(Box::new(OpenConnection::new(established)));
                    return Poll::Ready(Arrived::Opened);
                }
                Ok(Err(error)) => error,
                Err(_) => lost("opening it was interrupted"),
            },
        };
        self.reopen();
        Poll::Ready(Arrived::Lost(ended))
    }

    /// Gives the connection up and makes another.
    pub fn reopen(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let wait = Duration::from_millis(50 * u64::from(self.failures));
        self.answered = self.asked;
        let wait = wait.min(LONGEST);
        self.state = State::Opening(opening(&self.config, &self.client, &self.inbox, wait));
    }

    /// Sends a request, whose answers come below the inbox; false where there is no connection.
    pub fn request(&mut self, subject: &str, reply: &str, payload: &str) -> bool {
        let length = payload.len();
        self.queue(&format!("PUB {subject} {reply} {length}\r\n{payload}\r\n"))
    }

    /// Cancels all requests. Messages under way arrive before the question with the returned number is answered.
    pub fn cancel(&mut self) -> u64 {
        self.queue("UNSUB 1\r\n");
        self.ping()
    }

    /// Sends a ping; answers the number of this question.
    pub fn ping(&mut self) -> u64 {
        let silent = matches!(&self.state, State::Open(open) if open.is_silent());
        if silent {
            self.reopen();
        }
        self.asked += 1;
        if !self.queue("PING\r\n") {
            self.answered = self.asked;
        }
        self.asked
    }

    /// Whether a question was answered, or will never be.
    pub const fn is_answered(&self, question: u64) -> bool {
        self.answered >= question
    }

    fn queue(&mut self, commands: &str) -> bool {
        let State::Open(open) = &mut self.state else {
            return false;
        };
        open.unsent.extend_from_slice(commands.as_bytes());
        open.waiting_since.get_or_insert_with(Instant::now);
        true
    }
}

fn lost(why: &str) -> ConnectError {
    ConnectError::Transient(format!(
        "the connection on which messages of NATS arrive is lost: {why}"
    ))
}

/// Tries every server that is known, in turn.
fn opening(
    config: &ConnectionConfig,
    client: &Client,
    inbox: &str,
    wait: Duration,
) -> JoinHandle<Result<Established, ConnectError>> {
    let (config, client, inbox) = (config.clone(), client.clone(), inbox.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let named = addresses(&config)?;
        let mut error = lost("no server is known");
        for address in pool(&named, &client).await {
            let greeting = establish(&address, &named, &config, &inbox);
            match tokio::time::timeout(OPENING, greeting).await {
                Ok(Ok(established)) => return Ok(established),
                Ok(Err(failure)) => error = failure,
                Err(_) => error = lost("NATS does not answer"),
            }
        }
        Err(error)
    })
}

/// The servers that are named, and those that they announced.
async fn pool(named: &[ServerAddr], client: &Client) -> Vec<ServerAddr> {
    // The driver does not answer while it has no connection itself.
    let known = tokio::time::timeout(OPENING / 10, client.server_pool()).await;
    let mut all = named.to_vec();
    if let Ok(Ok(known)) = known {
        let announced = known.into_iter().map(|server| server.addr);
        all.extend(announced.filter(|address| !named.contains(address)));
    }
    all
}

/// A connection that works.
struct OpenConnection {
    established: Established,
    unsent: BytesMut,
    is_flushed: bool,
    /// Since when we wait for anything from the server.
    waiting_since: Option<Instant>,
}

impl OpenConnection {
    fn new(established: Established) -> Self {
        Self {
            established,
            unsent: BytesMut::new(),
            is_flushed: true,
            waiting_since: None,
        }
    }

    fn is_silent(&self) -> bool {
        self.waiting_since
            .is_some_and(|since| since.elapsed() > PATIENCE)
    }

    /// Sends, and takes what came: all that there is, or one batch. Answers how many questions were answered.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        batch: &mut Vec<Incoming>,
    ) -> Poll<Result<u64, ConnectError>> {
        let mut answers = 0;
        loop {
            while batch.len() < BATCH {
                let frame = self.established.parser.next(&mut self.established.buffer);
                let Some(frame) = frame.map_err(|error| lost(&error.to_string()))? else {
                    break;
                };
                self.waiting_since = None;
                match frame {
                    Frame::Message(message) => batch.push(message),
                    Frame::Ping => self.unsent.extend_from_slice(b"PONG\r\n"),
                    Frame::Pong => answers += 1,
                    Frame::Refused(why) => protocol_error(&why)?,
                    Frame::Info(_) | Frame::Ok => {}
                }
            }
            self.send(context)?;
            if batch.len() >= BATCH {
                return Poll::Ready(Ok(answers));
            }
            match self.read(context)? {
                Poll::Ready(()) => {}
                Poll::Pending if batch.is_empty() && answers == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(answers)),
            }
        }
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, ConnectError> {
        let Established {
            stream,
            parser,
            buffer,
        } = &mut self.established;
        let missing = parser.needed().saturating_sub(buffer.len());
        if buffer.capacity() - buffer.len() < ROOM.max(missing) {
            buffer.reserve(CHUNK.max(missing));
        }
        match pin!(stream.read_buf(buffer)).poll(context) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => Err(lost("the server closed it")),
            Poll::Ready(Ok(_)) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(lost(&error.kind().to_string())),
        }
    }

    /// Sends as much as goes out at once; the rest goes when there is room.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), ConnectError> {
        while !self.unsent.is_empty() {
            match pin!(self.established.stream.write_buf(&mut self.unsent)).poll(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => self.is_flushed = false,
                Poll::Ready(Err(error)) => return Err(lost(&error.kind().to_string())),
            }
        }
        if !self.is_flushed {
            match Pin::new(&mut self.established.stream).poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(error)) => return Err(lost(&error.kind().to_string())),
            }
        }
        Ok(())
    }
}

/// An error that the server reports. Its text is one of the protocol's and names at most a subject of ours. A missing permission
/// leaves the connection as it is.
fn protocol_error(why: &str) -> Result<(), ConnectError> {
    tracing::warn!(
        why,
        "the server reports an error on the connection on which messages arrive"
    );
    if why.starts_with("Permissions Violation") {
        Ok(())
    } else {
        Err(lost("the server ends it"))
    }
}
