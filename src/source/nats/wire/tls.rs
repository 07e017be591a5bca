//! TLS as the configuration asks for it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::source::connect_error::ConnectError;
use crate::source::nats::config::ConnectionConfig;
use crate::source::nats::connect::{TLS, read};

/// Encrypts a connection to that host.
pub(super) async fn over_tls(
    stream: TcpStream,
    host: &str,
    connection: &ConnectionConfig,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let config = config(connection).ok_or_else(refused)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| refused())?;
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, stream);
    encrypted.await.map_err(|_| refused())
}

fn refused() -> ConnectError {
    ConnectError::Permanent(TLS.into())
}

fn config(connection: &ConnectionConfig) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &connection.ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).ok()?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    match &connection.certificate {
        None => Some(config.with_no_client_auth()),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(read(key).ok()?.as_bytes()).ok()?;
            config
                .with_client_auth_cert(certificates(certificate)?, key)
                .ok()
        }
    }
}

fn certificates(file: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let text = read(file).ok()?;
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty())
}
