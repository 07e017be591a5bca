//! The way to the server: HTTP over TCP, and over TLS where the address says `https`.
//!
//! The client's own way there would do, but for three things: it cannot start at all where the system has no certificates,
//! it knows no certificate authority of one's own, and it lets small requests wait for acknowledgements (Nagle).

use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::settings::ClickHouseConfig;
use crate::error::{Exit, Fatal};
use crate::failpoint::Failpoint;
use crate::tls;

/// How long the server may take to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Connections that were not used for so long are closed: the server closes its end after three seconds.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A client that connects as the settings say, once it is used.
pub(super) fn client(settings: &ClickHouseConfig) -> Result<Client, Fatal> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    if !settings.url.starts_with("https://") {
        return Ok(over(tcp));
    }
    tcp.enforce_http(false);
    let tls = tls::client_config(settings.ca_file.as_deref(), None, Failpoint::LogConnect);
    let tls = tls.map_err(|error| {
        let advice = error.advice("clickhouse.ca_file");
        Fatal::new(Exit::Config, format!("clickhouse: {advice}"))
    })?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1();
    Ok(over(connector.wrap_connector(tcp)))
}

fn over<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Client {
    let mut http = HttpClient::builder(TokioExecutor::new());
    Client::with_http_client(http.pool_idle_timeout(IDLE_MAX).build(connector))
}
