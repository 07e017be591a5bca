//! One connection: how it is made, what it is told first, and what makes it useless.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::BufReader;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::class;
use super::settings::{Settings, Tls};
use super::trouble::Trouble;
use crate::error::SinkError;
use crate::failpoint::{self, Failpoint};

/// How transactions are begun and ended: as such, or as steps of an outer one that is never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Commits are durable.
    Durable,
    /// Everything happens within one transaction, which the server undoes when the connection ends.
    Dry,
}

impl Mode {
    const fn begin(self) -> &'static str {
        match self {
            Mode::Durable => "BEGIN",
            Mode::Dry => "SAVEPOINT step",
        }
    }

    const fn begin_reading(self) -> &'static str {
        match self {
            Mode::Durable => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Dry => "SAVEPOINT step",
        }
    }

    const fn commit(self) -> &'static str {
        match self {
            Mode::Durable => "COMMIT",
            Mode::Dry => "RELEASE SAVEPOINT step",
        }
    }

    const fn rollback(self) -> &'static str {
        match self {
            Mode::Durable => "ROLLBACK",
            Mode::Dry => "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step",
        }
    }
}

/// An open connection and the statements prepared on it.
pub(super) struct Connection {
    pub(super) client: Client,
    mode: Mode,
    task: JoinHandle<()>,
    statements: RefCell<HashMap<&'static str, Statement>>,
}

impl Connection {
    /// Connects and tells the session its limits.
    pub(super) async fn open(settings: &Settings, mode: Mode) -> Result<Self, Trouble> {
        let config = config(settings)?;
        let (client, task) = match &settings.tls {
            Tls::Off => connect(&config, NoTls).await?,
            Tls::Require { ca_file } => connect(&config, verifying(ca_file.as_deref())?).await?,
        };
        let connection = Self {
            client,
            mode,
            task,
            statements: RefCell::default(),
        };
        let words = session_words(settings, mode);
        connection.client.batch_execute(&words).await?;
        Ok(connection)
    }

    /// A prepared statement, made once for each connection.
    pub(super) async fn statement(&self, sql: &'static str) -> Result<Statement, SinkError> {
        let known = self.statements.borrow().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.begin()).await?)
    }

    /// Begins a transaction that reads in one consistent moment. It is given up at its end.
    pub(super) async fn begin_reading(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.begin_reading()).await?)
    }

    /// Begins a transaction that first takes an advisory lock, shared with others of its kind, until it ends.
    pub(super) async fn begin_sharing(&self, lock: Lock) -> Result<(), SinkError> {
        let (begin, Lock(class, object)) = (self.mode.begin(), lock);
        let words = format!("{begin}; SELECT pg_advisory_xact_lock_shared({class}, {object})");
        Ok(self.client.batch_execute(&words).await?)
    }

    /// Waits for an advisory lock and holds it, alone, until the transaction ends.
    pub(super) async fn lock(&self, lock: Lock) -> Result<(), SinkError> {
        let Lock(class, object) = lock;
        let words = format!("SELECT pg_advisory_xact_lock({class}, {object})");
        Ok(self.client.batch_execute(&words).await?)
    }

    /// Sends the commit. A reply that never comes means that nobody knows: the caller gets an error and asks again.
    pub(super) async fn send_commit(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.commit()).await?)
    }

    /// Commits, passing the named point.
    pub(super) async fn commit(&self, point: Failpoint) -> Result<(), SinkError> {
        failpoint::run_async(point, self.send_commit()).await
    }

    /// Gives a transaction up. Outside of one this does nothing.
    pub(super) async fn roll_back(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.rollback()).await?)
    }

    /// Closes the socket, whatever the server is doing with it.
    pub(super) async fn discard(self) {
        drop(self.client);
        self.task.abort();
        // Cancelled is what it should be; either way the socket is closed now.
        self.task.await.unwrap_or_default();
    }
}

/// The two numbers of an advisory lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock(pub(super) i32, pub(super) i32);

fn config(settings: &Settings) -> Result<Config, Trouble> {
    let mut config: Config = settings
        .url
        .parse()
        .map_err(|_| Trouble::config("postgres.url is no address of a Postgres database: write postgres://user@host:5432/database (password in postgres.password)"))?;
    if config.get_password().is_none()
        && let Some(password) = &settings.password
    {
        config.password(password);
    }
    config
        .application_name(&settings.application_name)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(settings.tcp_user_timeout)
        .keepalives_idle(settings.tcp_user_timeout)
        .ssl_mode(match settings.tls {
            Tls::Off => SslMode::Disable,
            Tls::Require { .. } => SslMode::Require,
        });
    Ok(config)
}

async fn connect<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), Trouble>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connecting = failpoint::run_async(Failpoint::StoreOpen, config.connect(tls));
    let (client, connection) = connecting.await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = class::text(&error), "a connection ended");
        }
    });
    Ok((client, task))
}

/// TLS that verifies certificate and name, against the given file or the system's certificates.
fn verifying(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, Trouble> {
    // Another part of the process may have chosen a provider already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap_or_default();
    let Some(path) = ca_file else {
        let found = MakeRustlsConnect::with_native_certs();
        return found.map(|(tls, _)| tls).map_err(|_| {
            Trouble::config("this system has no certificates to verify the server with: name a file in postgres.tls_ca_file")
        });
    };
    let unusable =
        |_| Trouble::config("postgres.tls_ca_file is no readable file of certificates in PEM form");
    let mut roots = RootCertStore::empty();
    let file = failpoint::open(Failpoint::StoreOpen, path).map_err(|_| unusable(()))?;
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        let certificate = certificate.map_err(|_| unusable(()))?;
        roots.add(certificate).map_err(|_| unusable(()))?;
    }
    if roots.is_empty() {
        return Err(unusable(()));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// For calls that ask for rows by their keys: never by reading a whole table. What the planner knows of a table is as old as its last
/// analysis, and a plan that was made while a table was empty is kept while it grows: parked events were read from the first to
/// the last by every batch. A join may still read a whole *index*, so keys
/// are looked up one after another (`LATERAL (… OFFSET 0)`, a subquery as a value). Only the counters of batches are still joined with a
/// list of keys: they are locked and updated by one statement, which may wait for another member, and only a join then finds the row as
/// that one left it. If it was planned over hardly any batches it reads their whole index, until the server analyses the table.
pub(super) const BY_KEY: &str = "SET enable_seqscan = off";

/// For calls that look at whole tables.
pub(super) const AS_PLANNED: &str = "SET enable_seqscan = on";

/// What every session is told: where its tables are, how long it may wait, what durable means.
///
/// Generic plans, because the planner takes a custom plan's guess at a large array for a reason to read the whole table.
fn session_words(settings: &Settings, mode: Mode) -> String {
    let idle = match mode {
        Mode::Durable => settings.idle_in_transaction_timeout.as_millis(),
        Mode::Dry => 0,
    };
    let mut words = format!(
        "SET search_path = {}; SET statement_timeout = {}; SET lock_timeout = {};
         SET idle_in_transaction_session_timeout = {idle}; SET tcp_user_timeout = {};
         SET plan_cache_mode = force_generic_plan; {BY_KEY}; SET jit = off; SET synchronous_commit = on;
         SET client_encoding = 'UTF8'; SET client_min_messages = warning",
        settings.schema,
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        settings.tcp_user_timeout.as_millis(),
    );
    if mode == Mode::Dry {
        words.push_str("; BEGIN");
    }
    words
}
