//! The way to the server: HTTP over TCP, and over TLS where the address says `https`.
//!
//! The client's own way there would do, but for three things: it cannot start at all where the system has no certificates,
//! it knows no certificate authority of one's own, and it lets small requests wait for acknowledgements (Nagle).

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::settings::ClickHouseConfig;
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint};

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
    let tls = verifying(settings.ca_file.as_deref())?;
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

/// TLS that verifies certificate and name, against the given file or the system's certificates.
fn verifying(ca_file: Option<&Path>) -> Result<ClientConfig, Fatal> {
    let refuse = |why: &str| Fatal::new(Exit::Config, format!("clickhouse: {why}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| refuse("this build has no version of TLS in common with itself"))?;
    let builder = match ca_file {
        Some(path) => {
            let roots = roots(path).ok_or_else(|| {
                refuse("clickhouse.ca_file is no readable file of certificates in PEM form")
            })?;
            builder.with_root_certificates(roots)
        }
        None => builder.with_native_roots().map_err(|_| {
            refuse(
                "this system has no certificates to verify the server with: name a file in clickhouse.ca_file",
            )
        })?,
    };
    Ok(builder.with_no_client_auth())
}

/// The certificates of a file; none if there is not one good one, or a bad one.
fn roots(path: &Path) -> Option<RootCertStore> {
    let file = failpoint::open(Failpoint::LogConnect, path).ok()?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}
