//! `run throughput` beside data that matter.

use hookflow::state::postgres::migrate;

use crate::conformance_state::database::Database;
use crate::recipient_tables::member::hookflow;

/// Schemas of measured loads in the server; no other test makes one.
fn own_schemas(database: &Database) -> i64 {
    database
        .number("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'hookflow\\_throughput\\_%'")
}

#[test]
#[ignore = "needs Postgres"]
fn a_measured_load_stays_out_of_the_configured_schema_and_leaves_none() {
    let Some(database) = Database::new("a measured load") else {
        return;
    };
    migrate(database.settings.clone()).unwrap();
    let before = own_schemas(&database);
    let store = tempfile::tempdir().unwrap();
    let settings = vec![
        ("HOOKFLOW_STORE_STATE", "postgres".into()),
        ("HOOKFLOW_POSTGRES_URL", database.settings.url.clone()),
        ("HOOKFLOW_POSTGRES_TLS", "off".into()),
        ("HOOKFLOW_POSTGRES_SCHEMA", database.settings.schema.clone()),
    ];
    let arguments = [
        "run",
        "throughput",
        "--quiet",
        "--deliveries",
        "2000",
        "--users",
        "5",
    ];
    let report = hookflow(&arguments, store.path(), &settings);
    assert!(report.to_lowercase().contains("postgres"), "{report}");
    for table in ["recipients", "batches", "ledger"] {
        let rows = database.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, 0, "{table} of the configured schema");
    }
    assert_eq!(own_schemas(&database), before);
}
