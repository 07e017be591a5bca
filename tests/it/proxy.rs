//! A TCP proxy that misbehaves on demand: what a network, or a server behind it, may do to a client.
//!
//! It runs on a thread of its own, so that tests with and without a runtime can use it. Every fault is a [`Mode`], which holds
//! for open and for new connections until another is set; [`Mode::Cut`] happens once, and then everything passes again.
//! A test that relies on a fault asks [`Proxy::cuts`] or [`Proxy::forwarded`] whether it happened.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What is done with connections and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything goes through at once.
    Pass,
    /// Everything goes through, each piece so much later.
    Delay(Duration),
    /// Nothing goes through, nothing is lost, connections stay open: a hung server, or a path that is broken. Another mode
    /// lets it go on.
    Hold,
    /// Open connections are reset, new ones are refused by the system.
    Refuse,
    /// After that many more bytes in that direction, counted over all connections, the connection that brings one more is
    /// reset; what came before is delivered. `after: 0` to the client is a lost reply: the request has been carried out.
    Cut { direction: Direction, after: u64 },
    /// What goes in that direction is thrown away, and the connection stays open.
    Swallow(Direction),
}

/// A mode that was set, and how far it has come.
#[derive(Debug)]
struct Rule {
    mode: Mode,
    /// Bytes that may pass before the cut.
    left: AtomicU64,
    cut: AtomicBool,
}

/// What becomes of a piece.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Forward,
    Drop,
    /// Its first bytes are delivered, then the connection is reset.
    Cut(usize),
}

impl Rule {
    fn new(mode: Mode) -> Arc<Self> {
        let left = match mode {
            Mode::Cut { after, .. } => after,
            _ => 0,
        };
        Arc::new(Self {
            mode,
            left: AtomicU64::new(left),
            cut: AtomicBool::new(false),
        })
    }

    fn refuses(&self) -> bool {
        self.mode == Mode::Refuse
    }

    /// Only one thread calls this, so that counting needs no more than it does.
    fn fate(&self, direction: Direction, bytes: usize) -> Fate {
        match self.mode {
            Mode::Swallow(swallowed) if swallowed == direction => Fate::Drop,
            Mode::Cut { direction: cut, .. } if cut == direction && !self.is_cut() => {
                let left = self.left.load(Ordering::Relaxed);
                if bytes as u64 <= left {
                    self.left.store(left - bytes as u64, Ordering::Relaxed);
                    return Fate::Forward;
                }
                self.cut.store(true, Ordering::Relaxed);
                Fate::Cut(left as usize)
            }
            _ => Fate::Forward,
        }
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct WorkerMetrics {
    connections: AtomicU64,
    cuts: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl WorkerMetrics {
    fn forwarded(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// A proxy before one server; it ends when it is dropped, and its connections with it.
pub struct Proxy {
    address: SocketAddr,
    rule: Option<watch::Sender<Arc<Rule>>>,
    in_force: crossbeam_channel::Receiver<()>,
    counts: Arc<WorkerMetrics>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `server` (`host:port`).
    pub fn before(server: &str) -> Self {
        let server = server.to_socket_addrs().unwrap().next().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (rule, rules) = watch::channel(Rule::new(Mode::Pass));
        let (said, in_force) = crossbeam_channel::unbounded();
        let counts = Arc::new(WorkerMetrics::default());
        let link = Link {
            server,
            rules,
            counts: Arc::clone(&counts),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let serve = move || runtime.block_on(serve(listener, link, said)).unwrap();
        Self {
            address,
            rule: Some(rule),
            in_force,
            counts,
            thread: Some(std::thread::spawn(serve)),
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for all connections, open ones too.
    pub fn set(&self, mode: Mode) {
        self.rule.as_ref().unwrap().send_replace(Rule::new(mode));
        let deadline = Duration::from_secs(10);
        self.in_force.recv_timeout(deadline).unwrap();
    }

    /// Connections taken so far.
    #[allow(dead_code, reason = "not every suite asks")]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Connections that were cut by [`Mode::Cut`].
    pub fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::Relaxed)
    }

    /// Bytes delivered in that direction.
    pub fn forwarded(&self, direction: Direction) -> u64 {
        self.counts.forwarded(direction).load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.rule.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What every connection has in hand.
#[derive(Clone)]
struct Link {
    server: SocketAddr,
    rules: watch::Receiver<Arc<Rule>>,
    counts: Arc<WorkerMetrics>,
}

/// Takes connections until the proxy is dropped, and says when a mode is in force. While connections are refused there is no
/// listener.
async fn serve(
    first: std::net::TcpListener,
    link: Link,
    said: crossbeam_channel::Sender<()>,
) -> io::Result<()> {
    first.set_nonblocking(true)?;
    let address = first.local_addr()?;
    let mut listener = Some(TcpListener::from_std(first)?);
    let mut rules = link.rules.clone();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                let (client, _) = accepted?;
                link.counts.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, link.clone()));
            }
            changed = rules.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                if rules.borrow_and_update().refuses() {
                    listener = None;
                } else if listener.is_none() {
                    listener = Some(TcpListener::bind(address).await?);
                }
                said.send(()).unwrap();
            }
        }
    }
}

/// The connection is to be reset.
struct Reset;

/// One connection, to its end.
async fn carry(client: TcpStream, link: Link) -> io::Result<()> {
    let server = TcpStream::connect(link.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut rules = link.rules.clone();
    let both = async {
        tokio::try_join!(
            pump(
                from_client,
                &mut to_server,
                Direction::ToServer,
                link.clone()
            ),
            pump(
                from_server,
                &mut to_client,
                Direction::ToClient,
                link.clone()
            ),
        )
    };
    let reset = tokio::select! {
        ended = both => ended.is_err(),
        _ = rules.wait_for(|rule| rule.refuses()) => true,
    };
    if reset {
        // A close that does not linger is a reset; a half that is dropped would say first that it ends.
        for half in [to_client, to_server] {
            half.as_ref().set_zero_linger()?;
            half.forget();
        }
    }
    Ok(())
}

/// Carries one direction until its end, which is passed on.
async fn pump(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    direction: Direction,
    mut link: Link,
) -> Result<(), Reset> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let bytes = from.read(&mut piece).await.map_err(|_| Reset)?;
        let rule = link.rule_in_force().await;
        if bytes == 0 {
            // An end that cannot be passed on is known at the other side already.
            return to.shutdown().await.map_err(|_| Reset);
        }
        let fate = rule.fate(direction, bytes);
        let deliver = match fate {
            Fate::Forward => bytes,
            Fate::Drop => 0,
            Fate::Cut(first) => first,
        };
        to.write_all(&piece[..deliver]).await.map_err(|_| Reset)?;
        let forwarded = link.counts.forwarded(direction);
        forwarded.fetch_add(deliver as u64, Ordering::Relaxed);
        if matches!(fate, Fate::Cut(_)) {
            link.counts.cuts.fetch_add(1, Ordering::Relaxed);
            return Err(Reset);
        }
    }
}

impl Link {
    /// The rule under which a piece goes on, once it may: waits while everything is held, and as long as it is delayed.
    async fn rule_in_force(&mut self) -> Arc<Rule> {
        loop {
            let rule = Arc::clone(&self.rules.borrow_and_update());
            match rule.mode {
                Mode::Hold => {
                    if self.rules.changed().await.is_err() {
                        return rule;
                    }
                }
                Mode::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    return rule;
                }
                _ => return rule,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::time::Instant;

    /// Answers every byte with itself.
    fn echo() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    // A connection that was reset is what the tests are about.
                    std::io::copy(&mut &stream, &mut &stream).unwrap_or_default();
                });
            }
        });
        address
    }

    fn proxy() -> Proxy {
        Proxy::before(&echo().to_string())
    }

    fn client(proxy: &Proxy) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(proxy.address()).unwrap();
        patient(&stream, Duration::from_secs(10));
        stream
    }

    fn patient(stream: &std::net::TcpStream, patience: Duration) {
        stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Asks, and no answer comes.
    fn ask_in_vain(stream: &mut std::net::TcpStream, text: &[u8]) {
        patient(stream, Duration::from_millis(300));
        let error = ask(stream, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        patient(stream, Duration::from_secs(10));
    }

    fn ask(stream: &mut std::net::TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn everything_passes_and_ends_are_passed_on() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        let much = vec![7; 1 << 20];
        let mut twin = stream.try_clone().unwrap();
        let sent = much.clone();
        let writer = std::thread::spawn(move || {
            twin.write_all(&sent).unwrap();
            twin.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        writer.join().unwrap();
        assert_eq!(answer, much);
        assert_eq!(proxy.forwarded(Direction::ToClient), 1 << 20);
    }

    #[test]
    fn what_is_held_comes_later_and_nothing_is_lost() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        proxy.set(Mode::Hold);
        ask_in_vain(&mut stream, b"hello");
        proxy.set(Mode::Pass);
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[test]
    fn delays_are_kept_both_ways() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        let delay = Duration::from_millis(60);
        proxy.set(Mode::Delay(delay));
        let began = Instant::now();
        ask(&mut stream, b"hello").unwrap();
        assert!(began.elapsed() >= 2 * delay);
    }

    #[test]
    fn refusal_resets_what_is_open_and_lets_nobody_in_until_it_ends() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        ask(&mut stream, b"hello").unwrap();
        proxy.set(Mode::Refuse);
        let error = ask(&mut stream, b"hello").unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ));
        let refused = std::net::TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Mode::Pass);
        ask(&mut client(&proxy), b"hello").unwrap();
    }

    #[test]
    fn a_cut_delivers_what_came_before_it_and_happens_once() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        proxy.set(Mode::Cut {
            direction: Direction::ToServer,
            after: 8,
        });
        ask(&mut stream, b"hello").unwrap();
        stream.write_all(b"again").unwrap();
        let mut rest = Vec::new();
        let error = stream.read_to_end(&mut rest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.forwarded(Direction::ToServer), 8);
        assert_eq!(proxy.cuts(), 1);
        ask(&mut client(&proxy), b"a good deal more than eight").unwrap();
    }

    #[test]
    fn a_reply_can_be_lost_or_swallowed() {
        let proxy = proxy();
        let mut stream = client(&proxy);
        proxy.set(Mode::Cut {
            direction: Direction::ToClient,
            after: 0,
        });
        let error = ask(&mut stream, b"hello").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(proxy.forwarded(Direction::ToServer), 5);

        let mut stream = client(&proxy);
        proxy.set(Mode::Swallow(Direction::ToClient));
        ask_in_vain(&mut stream, b"hello");
        let deadline = Instant::now() + Duration::from_secs(10);
        while proxy.forwarded(Direction::ToServer) < 10 {
            assert!(Instant::now() < deadline, "the question never came");
            std::thread::yield_now();
        }
        assert_eq!(proxy.forwarded(Direction::ToClient), 0);
    }
}
