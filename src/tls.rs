//! TLS of clients: which servers are trusted, and the certificate with which the client shows who it is.
//!
//! Contract: the server's certificate and name are always verified; against the given file, or else against the
//! certificates of the system.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::failpoint::{self, Failpoint};

/// Why TLS cannot be set up. Only a person can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsConfigError {
    /// The system has no certificates and no file is named.
    NoSystemRoots,
    /// The file of trusted certificates is unreadable, empty or no PEM.
    BadRoots,
    /// The client's certificate or key is unreadable or no PEM, or they do not belong together.
    BadIdentity,
    /// The TLS library refuses its own defaults.
    Unsupported,
}

impl TlsConfigError {
    /// What to do about it; `setting` names the file of trusted certificates.
    pub fn advice(self, setting: &str) -> String {
        match self {
            Self::NoSystemRoots => format!(
                "this system has no certificates to verify the server with: name a file in {setting}"
            ),
            Self::BadRoots => {
                format!("{setting} is no readable file of certificates in PEM form")
            }
            Self::BadIdentity => {
                "the client certificate and its key are no readable PEM files that belong together"
                    .to_owned()
            }
            Self::Unsupported => "this build supports no version of TLS".to_owned(),
        }
    }
}

/// A configuration that trusts the certificates in `roots` (PEM), or else those of the system; `identity` is the file of the
/// client's certificates and the file of its key.
pub fn client_config(
    roots: Option<&Path>,
    identity: Option<(&Path, &Path)>,
    point: Failpoint,
) -> Result<ClientConfig, TlsConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsConfigError::Unsupported)?;
    let trusted = match roots {
        Some(path) => roots_of(path, point).ok_or(TlsConfigError::BadRoots)?,
        None => system_roots().ok_or(TlsConfigError::NoSystemRoots)?,
    };
    let builder = builder.with_root_certificates(trusted);
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, point).ok_or(TlsConfigError::BadIdentity)?;
    let key = private_key(key, point).ok_or(TlsConfigError::BadIdentity)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|_| TlsConfigError::BadIdentity)
}

fn roots_of(path: &Path, point: Failpoint) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, point)? {
        roots.add(certificate).ok()?;
    }
    Some(roots)
}

fn system_roots() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (!roots.is_empty()).then_some(roots)
}

/// The certificates of a file; none if one of them is bad, or there is none.
fn certificates(path: &Path, point: Failpoint) -> Option<Vec<CertificateDer<'static>>> {
    let file = BufReader::new(failpoint::open(point, path).ok()?);
    let all: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(file).collect();
    all.ok().filter(|all| !all.is_empty())
}

fn private_key(path: &Path, point: Failpoint) -> Option<PrivateKeyDer<'static>> {
    let file = BufReader::new(failpoint::open(point, path).ok()?);
    PrivateKeyDer::from_pem_reader(file).ok()
}
