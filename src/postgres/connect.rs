//! One connection, encrypted if asked.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::class;
use crate::error::SinkError;
use crate::failpoint::{self, Failpoint};

/// Whether a connection is encrypted. There is nothing in between: a server without TLS is refused where it is required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Plain text.
    #[default]
    Off,
    /// TLS, with the server's certificate and name verified.
    Require {
        /// Certificates (PEM) to trust instead of those of the system.
        ca_file: Option<PathBuf>,
    },
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refused {
    /// A sentence that says what a person has to change.
    Config(String),
    /// What the server, the network or the driver said.
    Failed(SinkError),
}

/// Connects, passing `point`; the task carries the connection until the client is dropped.
pub async fn connect(
    mut config: Config,
    tls: &Tls,
    point: Failpoint,
) -> Result<(Client, JoinHandle<()>), Refused> {
    match tls {
        Tls::Off => connect_over(config.ssl_mode(SslMode::Disable), NoTls, point).await,
        Tls::Require { ca_file } => {
            let tls = verifying(ca_file.as_deref(), point)?;
            connect_over(config.ssl_mode(SslMode::Require), tls, point).await
        }
    }
}

async fn connect_over<T>(
    config: &Config,
    tls: T,
    point: Failpoint,
) -> Result<(Client, JoinHandle<()>), Refused>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = failpoint::run_async(point, config.connect(tls))
        .await
        .map_err(|error| refused(&error))?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = class::text(&error), "a connection ended");
        }
    });
    Ok((client, task))
}

/// Errors that waiting cannot mend are put into words.
fn refused(error: &tokio_postgres::Error) -> Refused {
    let cause = std::error::Error::source(error);
    let cause = cause.map(ToString::to_string).unwrap_or_default();
    let advice = match (error.code().map(|code| code.code()), &*error.to_string()) {
        (Some("28P01" | "28000"), _) => {
            "Postgres refuses this user or password: check both, and that the server's pg_hba.conf lets this user in"
        }
        (Some("3D000"), _) => {
            "there is no such database on the Postgres server: create it, or correct the url"
        }
        (_, "error performing TLS handshake") if cause.contains("does not support TLS") => {
            "the Postgres server offers no TLS although it is required: turn TLS on at the server, or off here if the network between is trusted"
        }
        (_, "error performing TLS handshake") if cause.contains("certificate") => {
            "the certificate of the Postgres server cannot be verified: name its authority in tls_ca_file, and check that the host in the url is the one in the certificate"
        }
        (_, "authentication error" | "invalid configuration") => {
            "Postgres asks for a password and none is set"
        }
        _ => return Refused::Failed(class::failed(error)),
    };
    Refused::Config(advice.to_owned())
}

/// TLS that verifies certificate and name, against the given file or the system's certificates.
fn verifying(ca_file: Option<&Path>, point: Failpoint) -> Result<MakeRustlsConnect, Refused> {
    // Another part of the process may have chosen a provider already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap_or_default();
    let Some(path) = ca_file else {
        let none = "this system has no certificates to verify the Postgres server with: name a file in tls_ca_file";
        let found = MakeRustlsConnect::with_native_certs().map_err(|_| config(none))?;
        return Ok(found.0);
    };
    let roots = roots(path, point)
        .ok_or_else(|| config("tls_ca_file is no readable file of certificates in PEM form"))?;
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(tls))
}

fn config(advice: &str) -> Refused {
    Refused::Config(advice.to_owned())
}

/// The certificates of a file; none if there is not one good one, or a bad one.
fn roots(path: &Path, point: Failpoint) -> Option<RootCertStore> {
    let file = failpoint::open(point, path).ok()?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}
