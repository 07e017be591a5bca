//! A connection to NATS, and why there is none.
//!
//! An error that another attempt cannot mend (a wrong password, an untrusted certificate, a server without TLS where TLS is
//! required, a server that is too old) is one of configuration and ends the program; every other one is retried.
//! Texts name no address and no secret.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};

use super::config::{ConnectionConfig, Login, Secret};
use crate::source::connect_error::ConnectError;
use crate::source::message::subject::token_text;

/// The oldest server that knows subject transforms and the request that creates consumers.
const OLDEST: (u32, u32) = (2, 10);

/// Connects once. `on_event` receives every later change of the connection; the client reconnects for ever.
pub async fn connect(
    connection: &ConnectionConfig,
    on_event: impl Fn(Event) + Send + Sync + 'static,
) -> Result<Client, ConnectError> {
    let servers = addresses(connection)?;
    let options = options(connection, &servers).await?;
    let options = options.event_callback(move |event| {
        on_event(event);
        std::future::ready(())
    });
    let client = options
        .connect(servers)
        .await
        .map_err(|error| classify(&error))?;
    check_version(&client.server_info().version)?;
    if client.server_info().jetstream {
        Ok(client)
    } else {
        Err(ConnectError::Permanent(
            "the NATS server runs without JetStream: start it with -js, or `jetstream {}` in its configuration".into(),
        ))
    }
}

pub(super) fn addresses(connection: &ConnectionConfig) -> Result<Vec<ServerAddr>, ConnectError> {
    let texts = connection.servers.reveal().split(',');
    let addresses: Result<Vec<ServerAddr>, _> = texts.map(|text| text.trim().parse()).collect();
    addresses.map_err(|_| ConnectError::Permanent(NO_ADDRESS.into()))
}

const NO_ADDRESS: &str = "nats.url is not a list of addresses such as nats://host:4222";

async fn options(
    connection: &ConnectionConfig,
    servers: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let options = ConnectOptions::new()
        .name("hookflow")
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| Duration::from_millis(50 * attempts.min(20) as u64))
        // Requests bound the messages under way; a full queue would drop some, and the server would redeliver them.
        .subscription_capacity(1 << 20)
        .client_capacity(16 * 1024)
        .read_buffer_capacity(u16::MAX)
        .require_tls(connection.tls_required);
    let options = match &connection.ca_file {
        Some(file) => options.add_root_certificates(file.clone()),
        None => options,
    };
    let options = match &connection.certificate {
        Some((certificate, key)) => {
            options.add_client_certificate(certificate.clone(), key.clone())
        }
        None => options,
    };
    login(options, &connection.login, servers).await
}

async fn login(
    options: ConnectOptions,
    login: &Login,
    servers: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let by_address = login_of_address(servers);
    let login = if matches!(login, Login::None) {
        &by_address
    } else {
        login
    };
    match login {
        Login::None => Ok(options),
        Login::Password(user, password) => {
            Ok(options.user_and_password(user.clone(), password.reveal().to_owned()))
        }
        Login::Token(token) => Ok(options.token(token.reveal().to_owned())),
        Login::Nkey(file) => match read(file) {
            Ok(seed) => Ok(options.nkey(seed.trim().to_owned())),
            Err(error) => Err(unreadable("nats.nkey_seed_file", &error)),
        },
        Login::Credentials(file) => options
            .credentials_file(file)
            .await
            .map_err(|error| unreadable("nats.credentials_file", &error)),
    }
}

/// The login that an address contains; the client library does not read it.
pub(super) fn login_of_address(servers: &[ServerAddr]) -> Login {
    let plain = |text: &str| token_text(text.as_bytes()).map(std::borrow::Cow::into_owned);
    let named = servers.iter().find_map(|server| server.username());
    let password = servers.iter().find_map(|server| server.password());
    match (named.and_then(plain), password.and_then(plain)) {
        (Some(user), Some(password)) => Login::Password(user, Secret::new(password)),
        (Some(token), None) => Login::Token(Secret::new(token)),
        _ => Login::None,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "read once, before the first connection"
)]
pub(super) fn read(file: &Path) -> io::Result<String> {
    std::fs::read_to_string(file)
}

pub(super) fn unreadable(setting: &str, error: &io::Error) -> ConnectError {
    ConnectError::Permanent(format!(
        "the file that {setting} names cannot be read: {error}"
    ))
}

/// The meaning of an error of the client library.
fn classify(error: &async_nats::ConnectError) -> ConnectError {
    let refused = |text: &str| ConnectError::Permanent(text.to_owned());
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => refused(
            "the NATS server refuses the user, password or token: see the login settings under [nats]",
        ),
        ConnectErrorKind::Authentication => refused(
            "the nkey or credentials cannot be used to log in to NATS: see the files named under [nats]",
        ),
        ConnectErrorKind::ServerParse => refused(NO_ADDRESS),
        ConnectErrorKind::Tls => refused(TLS),
        _ if is_tls_error(error) => refused(TLS),
        kind => ConnectError::Transient(format!("NATS cannot be reached ({kind})")),
    }
}

pub(super) const TLS: &str = "no TLS connection to NATS can be made: the server offers no TLS, its certificate is not trusted, or a \
                   file of certificates cannot be used (nats.tls, nats.tls_ca_file, nats.tls_certificate_file)";

/// The client library reports a failed handshake as any other failure to read or write.
fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) || error.is::<rustls::Error>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn check_version(version: &str) -> Result<(), ConnectError> {
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().ok());
    let known = parts.next().flatten().zip(parts.next().flatten());
    match known {
        Some(version) if version >= OLDEST => Ok(()),
        _ => Err(ConnectError::Permanent(format!(
            "the NATS server has version {version}, and hookflow needs 2.10 or newer: older ones do not know subject \
             transforms"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused() {
        for good in ["2.10.0", "2.10.27", "2.15.1", "3.0.0-beta", "2.11.0-RC.1"] {
            check_version(good).unwrap();
        }
        for bad in ["2.9.10", "1.4.1", "", "x", "2"] {
            let text = check_version(bad).unwrap_err().to_string();
            assert!(text.contains("2.10 or newer"), "{text}");
        }
    }
}
