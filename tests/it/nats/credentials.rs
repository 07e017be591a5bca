//! Credentials as a NATS operator issues them: an account and a user, signed from the top.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account that may use JetStream.
pub struct Operator {
    operator: KeyPair,
    account: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// What a server's configuration needs to trust it.
    pub fn configuration(&self) -> String {
        let operator = json!({"type": "operator", "version": 2});
        let operator = signed(&self.operator, &self.operator.public_key(), operator);
        let unlimited = [
            "subs",
            "conn",
            "leaf",
            "imports",
            "exports",
            "data",
            "payload",
            "mem_storage",
            "disk_storage",
            "streams",
            "consumer",
        ];
        let mut limits: serde_json::Map<String, Value> = unlimited
            .map(|what| (what.to_owned(), json!(-1)))
            .into_iter()
            .collect();
        limits.insert("wildcards".into(), true.into());
        let account = json!({"type": "account", "version": 2, "limits": limits});
        let name = self.account.public_key();
        let account = signed(&self.operator, &name, account);
        // The server's own account, without which it has no streams.
        let system = KeyPair::new_account().public_key();
        let own = json!({"type": "account", "version": 2, "limits": {"subs": -1, "conn": -1, "leaf": -1, "imports": -1,
            "exports": -1, "data": -1, "payload": -1, "wildcards": true}});
        let own = signed(&self.operator, &system, own);
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {name}: {account}, {system}: {own} }}"
        )
    }

    /// A credentials file of a new user of the account.
    pub fn user(&self) -> String {
        let user = KeyPair::new_user();
        let limits = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let jwt = signed(&self.account, &user.public_key(), limits);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn signed(issuer: &KeyPair, subject: &str, nats: Value) -> String {
    let claims = json!({
        "jti": format!("{:032X}", rand::random::<u128>()),
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "sub": subject,
        "name": "test",
        "nats": nats,
    });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let text = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
