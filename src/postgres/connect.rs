//! Making a connection, encrypted if asked.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::class;
use super::error::PostgresError;
use crate::failpoint::{self, Failpoint};
use crate::tls;

/// Whether a connection is encrypted. There is nothing in between: a server without TLS is refused where it is required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PostgresTls {
    /// Plain text.
    #[default]
    Off,
    /// TLS, with the server's certificate and name verified.
    Require {
        /// Certificates (PEM) to trust instead of those of the system.
        ca_file: Option<PathBuf>,
    },
}

/// A server, and how to connect to it.
#[derive(Clone, Copy)]
pub struct PostgresTarget<'a> {
    /// The section of the configuration that describes it, for advice: `postgres`.
    pub section: &'static str,
    /// `postgres://user@host:port/database`, or words such as `host=… dbname=…`.
    pub url: &'a str,
    /// The user, if the url has none.
    pub user: Option<&'a str>,
    /// The password, if the url has none.
    pub password: Option<&'a str>,
    /// Encryption.
    pub tls: &'a PostgresTls,
    /// What the server shows as the name of the connection.
    pub application_name: &'a str,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long sent bytes may stay unacknowledged.
    pub tcp_user_timeout: Duration,
}

/// Connects; the task drives the connection until the client is dropped.
pub async fn connect(
    target: &PostgresTarget<'_>,
    point: Failpoint,
) -> Result<(Client, JoinHandle<()>), PostgresError> {
    let mut config = config(target)?;
    match target.tls {
        PostgresTls::Off => connect_over(config.ssl_mode(SslMode::Disable), NoTls, point).await,
        PostgresTls::Require { ca_file } => {
            let tls = tls::client_config(ca_file.as_deref(), None, point).map_err(|error| {
                let setting = format!("{}.tls_ca_file", target.section);
                PostgresError::Config(error.advice(&setting))
            })?;
            let tls = MakeRustlsConnect::new(tls);
            connect_over(config.ssl_mode(SslMode::Require), tls, point).await
        }
    }
    .map_err(|error| PostgresError::of(&error, target.section))
}

fn config(target: &PostgresTarget<'_>) -> Result<Config, PostgresError> {
    let section = target.section;
    let mut config: Config = target.url.parse().map_err(|_| {
        PostgresError::Config(format!(
            "{section}.url is no address of a Postgres database: write postgres://user@host:5432/database (password in {section}.password)"
        ))
    })?;
    if let (None, Some(user)) = (config.get_user(), target.user) {
        config.user(user);
    }
    if let (None, Some(password)) = (config.get_password(), target.password) {
        config.password(password);
    }
    config
        .application_name(target.application_name)
        .connect_timeout(target.connect_timeout)
        .tcp_user_timeout(target.tcp_user_timeout)
        .keepalives_idle(target.tcp_user_timeout);
    Ok(config)
}

async fn connect_over<T>(
    config: &Config,
    tls: T,
    point: Failpoint,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = failpoint::run_async(point, config.connect(tls)).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = class::text(&error), "a connection ended");
        }
    });
    Ok((client, task))
}
