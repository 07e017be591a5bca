//! The pages of a job: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors.
//!
//! Runs on a thread of its own with its own small runtime, reads the [`Board`] and nothing else. Whoever can reach the
//! port can ask, so: a cap on connections, limits on time, no bodies read, one request a connection.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, oneshot};

use super::{Board, prometheus};
use crate::error::{Exit, Fatal};

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// How many at once; further ones wait in the listener's queue.
    pub connections_max: usize,
    /// How long its headers may take.
    pub header_time_max: Duration,
    /// How long all of it may take.
    pub total_time_max: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 32,
            header_time_max: Duration::from_secs(5),
            total_time_max: Duration::from_secs(15),
        }
    }
}

/// The running pages; dropping it closes the port.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Opens the port and serves. A busy port is an error that says which setting to change.
    pub fn start(
        address: SocketAddr,
        board: Arc<Board>,
        limits: HttpLimits,
    ) -> Result<Self, Fatal> {
        let refused = |error| refused(address, &error);
        let listener = listen(address)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("observe-http".into())
            .spawn(move || serve(listener, board, limits, stopped))
            .map_err(refused)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Opens a port and does nothing with it yet.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Fatal> {
    TcpListener::bind(address).map_err(|error| refused(address, &error))
}

fn refused(address: SocketAddr, error: &std::io::Error) -> Fatal {
    let message = format!(
        "metrics cannot be served at {address}: {error}\n\
         choose another place with metrics.listen (HOOKFLOW_METRICS_LISTEN), or \"none\""
    );
    Fatal::new(Exit::Config, message)
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

fn serve(
    listener: TcpListener,
    board: Arc<Board>,
    limits: HttpLimits,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        tracing::error!("the metrics pages have no runtime and stay closed");
        return;
    };
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, router(board), limits) => {}
            _ = stopped => {}
        }
    });
}

fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready_page))
        .with_state(board)
}

async fn metrics_page(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let text = prometheus::render(&board.metrics().snapshot());
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], text)
}

async fn ready_page(State(board): State<Arc<Board>>) -> impl IntoResponse {
    let (health, report) = board.report();
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, format!("{report:#}\n"))
}

async fn accept(listener: TcpListener, router: Router, limits: HttpLimits) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        tracing::error!("the metrics port cannot be served");
        return;
    };
    let seats = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file handles, most likely: a short wait instead of a spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = connection(stream, router.clone(), limits);
        tokio::spawn(async move {
            // Whether it ended well or ran out of time, it is over and its seat is free.
            tokio::time::timeout(limits.total_time_max, connection)
                .await
                .unwrap_or_default();
            drop(seat);
        });
    }
}

async fn connection(stream: tokio::net::TcpStream, router: Router, limits: HttpLimits) {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the metrics pages broke");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::metrics::Metrics;
    use crate::observe::health::Component;

    fn start(limits: HttpLimits) -> (MetricsServer, Arc<Board>) {
        let board = Board::new(Metrics::new([]), 10);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = MetricsServer::start(any, Arc::clone(&board), limits).unwrap();
        (server, board)
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get_page(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    #[test]
    fn the_pages_answer_and_readiness_has_reasons() {
        let (server, board) = start(HttpLimits::default());
        let address = server.address();
        assert!(get_page(address, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get_page(address, "/metrics").contains("webhooks_received_total 0"));
        let starting = get_page(address, "/readyz");
        assert!(starting.starts_with("HTTP/1.1 503") && starting.contains("starting"));
        board.post(Component::ready("state"));
        assert!(get_page(address, "/readyz").starts_with("HTTP/1.1 200"));
        assert!(get_page(address, "/secrets").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_client_that_never_finishes_its_headers_is_let_go_and_blocks_nobody_for_long() {
        let limits = HttpLimits {
            connections_max: 1,
            header_time_max: Duration::from_millis(100),
            ..HttpLimits::default()
        };
        let (server, _board) = start(limits);
        let mut slow = TcpStream::connect(server.address()).unwrap();
        slow.write_all(b"GET /metr").unwrap();
        assert!(get_page(server.address(), "/healthz").contains("alive"));
    }

    #[test]
    fn a_busy_port_names_the_setting() {
        let (server, board) = start(HttpLimits::default());
        let busy = MetricsServer::start(server.address(), board, HttpLimits::default());
        let error = busy.err().unwrap();
        assert_eq!(error.exit, Exit::Config);
        assert!(error.message.contains("metrics.listen"));
    }
}
