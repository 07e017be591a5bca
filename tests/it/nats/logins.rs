//! Logins and TLS: each right and wrong, against servers that ask for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use hookflow::error::Exit;
use hookflow::source::nats::settings::{Connection, Login, Secret};
use hookflow::source::nats::{Settings, setup};
use nkeys::KeyPair;
use tempfile::TempDir;

use super::credentials::Operator;
use super::server::Server;
use super::world::{plain, settings};
use crate::skip::skipped_server;

const PASSWORD: &str = "correct-horse";
const WRONG: &str = "battery-staple";

fn as_user(url: &str, login: Login) -> Settings {
    settings(Connection {
        login,
        ..plain(url)
    })
}

fn is_let_in(settings: &Settings) {
    setup(settings).unwrap();
}

/// Refused with the code for configuration and a sentence with these words, and without any of these secrets.
fn is_refused(settings: &Settings, words: &str, secrets: &[&str]) {
    let failure = setup(settings).unwrap_err();
    assert_eq!(failure.exit, Exit::Config, "{failure}");
    assert!(failure.message.contains(words), "{failure}");
    let said = format!("{failure} {failure:?} {settings:?}");
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} is told: {said}");
    }
}

const LOGIN_SETTINGS: &str = "see the login settings under [nats]";

#[test]
#[ignore = "needs NATS with TLS"]
fn a_user_with_a_password() {
    let users = format!("authorization {{ users: [ {{ user: app, password: \"{PASSWORD}\" }} ] }}");
    let Some(server) = Server::start("password", &users) else {
        return;
    };
    let login =
        |user: &str, password: &str| Login::Password(user.into(), Secret::new(password.into()));
    is_let_in(&as_user(&server.url(), login("app", PASSWORD)));
    is_let_in(&as_user(
        &server.url_as(&format!("app:{PASSWORD}")),
        Login::None,
    ));
    for wrong in [login("app", WRONG), login("nobody", PASSWORD), Login::None] {
        is_refused(
            &as_user(&server.url(), wrong),
            LOGIN_SETTINGS,
            &[PASSWORD, WRONG],
        );
    }
    let wrong = server.url_as(&format!("app:{WRONG}"));
    is_refused(&as_user(&wrong, Login::None), LOGIN_SETTINGS, &[WRONG]);
}

#[test]
#[ignore = "needs NATS with TLS"]
fn a_token() {
    let token = format!("authorization {{ token: \"{PASSWORD}\" }}");
    let Some(server) = Server::start("token", &token) else {
        return;
    };
    let login = |token: &str| Login::Token(Secret::new(token.into()));
    is_let_in(&as_user(&server.url(), login(PASSWORD)));
    is_let_in(&as_user(&server.url_as(PASSWORD), Login::None));
    is_refused(
        &as_user(&server.url(), login(WRONG)),
        LOGIN_SETTINGS,
        &[PASSWORD, WRONG],
    );
    is_refused(
        &as_user(&server.url_as(WRONG), Login::None),
        LOGIN_SETTINGS,
        &[WRONG],
    );
    is_refused(
        &as_user(&server.url(), Login::None),
        LOGIN_SETTINGS,
        &[PASSWORD],
    );
}

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder
        .path()
        .join(format!("{:016x}", rand::random::<u64>()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
#[ignore = "needs NATS with TLS"]
fn an_nkey() {
    let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        key.public_key()
    );
    let Some(server) = Server::start("nkey", &users) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let (seed, other) = (key.seed().unwrap(), other.seed().unwrap());
    let login = |text: &str| as_user(&server.url(), Login::Nkey(file(&folder, text)));
    is_let_in(&login(&seed));
    is_let_in(&login(&format!("{seed}\n")));
    is_refused(&login(&other), LOGIN_SETTINGS, &[&other]);
    is_refused(
        &login("SUNOSEED"),
        "the nkey or credentials cannot be used",
        &["SUNOSEED"],
    );
    let missing = as_user(&server.url(), Login::Nkey(folder.path().join("missing")));
    is_refused(&missing, "nats.nkey_seed_file", &[]);
}

#[test]
#[ignore = "needs NATS with TLS"]
fn a_credentials_file() {
    let (operator, other) = (Operator::new(), Operator::new());
    let Some(server) = Server::start("credentials", &operator.configuration()) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let login = |text: &str| as_user(&server.url(), Login::Credentials(file(&folder, text)));
    is_let_in(&login(&operator.user()));
    let foreign = other.user();
    let seed = foreign.lines().find(|line| line.starts_with("SU")).unwrap();
    is_refused(&login(&foreign), LOGIN_SETTINGS, &[seed]);
    is_refused(
        &login("nothing of the kind"),
        "nats.credentials_file",
        &["nothing of the kind"],
    );
    let missing = as_user(
        &server.url(),
        Login::Credentials(folder.path().join("missing")),
    );
    is_refused(&missing, "nats.credentials_file", &[]);
}

/// The server with TLS that `STACK_TLS=1` starts, and the files that belong to it.
fn tls_server(test: &str) -> Option<(String, PathBuf, PathBuf)> {
    let variable = |name: &str| std::env::var(name).ok();
    let found = (|| {
        Some((
            variable("HOOKFLOW_NATS_TLS_URL")?,
            variable("HOOKFLOW_TEST_CA_FILE")?.into(),
            variable("HOOKFLOW_TEST_OTHER_CA_FILE")?.into(),
        ))
    })();
    if found.is_none() {
        skipped_server(&format!(
            "nats {test}: no server with TLS (start it with STACK_TLS=1 scripts/stack)"
        ));
    }
    found
}

fn over_tls(url: &str, ca_file: Option<&Path>) -> Settings {
    settings(Connection {
        login: Login::Password("app".into(), Secret::new(PASSWORD.into())),
        tls_required: true,
        ca_file: ca_file.map(Into::into),
        ..plain(url)
    })
}

const NO_TLS: &str = "no TLS connection to NATS can be made";

#[test]
#[ignore = "needs NATS with TLS"]
fn tls_with_an_authority_that_is_ours_and_no_other() {
    let Some((url, ours, other)) = tls_server("tls") else {
        return;
    };
    is_let_in(&over_tls(&url, Some(&ours)));
    is_refused(&over_tls(&url, Some(&other)), NO_TLS, &[PASSWORD]);
    is_refused(&over_tls(&url, None), NO_TLS, &[PASSWORD]);
    // The certificate names localhost and nothing else.
    let by_number = url.replace("localhost", "127.0.0.1");
    is_refused(&over_tls(&by_number, Some(&ours)), NO_TLS, &[PASSWORD]);
    is_refused(
        &over_tls(&url, Some(Path::new("/nowhere/ca.pem"))),
        NO_TLS,
        &[PASSWORD],
    );
}

#[test]
#[ignore = "needs NATS with TLS"]
fn a_server_without_tls_is_refused_where_tls_is_asked() {
    let Some(server) = Server::start("plaintext", "") else {
        return;
    };
    is_refused(&over_tls(&server.url(), None), NO_TLS, &[PASSWORD]);
    let by_scheme = server.url().replace("nats://", "tls://");
    is_refused(&settings(plain(&by_scheme)), NO_TLS, &[]);
    is_let_in(&settings(plain(&server.url())));
}

/// Everything that the program prints when it talks of everything.
#[test]
#[ignore = "needs NATS with TLS"]
fn no_output_of_the_program_tells_a_secret() {
    let users = format!("authorization {{ users: [ {{ user: app, password: \"{PASSWORD}\" }} ] }}");
    let Some(server) = Server::start("secrets", &users) else {
        return;
    };
    for (url, password) in [
        (server.url(), PASSWORD),
        (server.url(), WRONG),
        (server.url_as(&format!("app:{PASSWORD}")), PASSWORD),
        (server.url_as(&format!("app:{WRONG}")), WRONG),
        ("nats://app:battery-staple@127.0.0.1:1".into(), WRONG),
        ("nats://app:battery-staple@[".into(), WRONG),
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookflow"));
        let ours = std::env::vars().filter(|(name, _)| name.starts_with("HOOKFLOW_"));
        ours.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command
            .args(["setup"])
            .current_dir(&folder)
            .env("HOOKFLOW_SOURCE_LIVE", "nats")
            .env("HOOKFLOW_NATS_URL", &url)
            .env("HOOKFLOW_LOGS_LEVEL", "trace")
            .env("RUST_LOG", "trace");
        if !url.contains('@') {
            command
                .env("HOOKFLOW_NATS_USER", "app")
                .env("HOOKFLOW_NATS_PASSWORD", password);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{url}: {} {said}", output.status);
        assert!(!said.contains(password), "{said}");
        assert_eq!(
            output.status.success(),
            url.contains(&server.port().to_string()) && password == PASSWORD
        );
    }
}
