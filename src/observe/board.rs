//! The board: where components hang out how they are, and what the health page is made from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::health::{Component, Health};
use crate::metrics::{Counter, Gauge, Metrics, MetricsSnapshot, Sink, SinkCounter};

/// Shared by all threads of a job; a component hangs out its status only when it changes.
#[derive(Debug)]
pub struct Board {
    metrics: Arc<Metrics>,
    open_events_max: u64,
    components: Mutex<BTreeMap<&'static str, Component>>,
}

impl Board {
    /// An empty board; `open_events_max` is where the source stops reading.
    pub fn new(metrics: Arc<Metrics>, open_events_max: u64) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            open_events_max,
            components: Mutex::default(),
        })
    }

    /// Hangs out how a component is, in place of what it said before.
    pub fn post(&self, component: Component) {
        self.lock().insert(component.name, component);
    }

    /// What all components say.
    pub fn components(&self) -> Vec<Component> {
        self.lock().values().cloned().collect()
    }

    /// The judgement over them.
    pub fn health(&self) -> Health {
        Health::of(&self.components())
    }

    /// The counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Readiness, its reasons and the statistics of each component.
    pub fn report(&self) -> (Health, Value) {
        let components = self.components();
        let health = Health::of(&components);
        let counts = self.metrics.snapshot();
        let report = json!({
            "ready": health.ready,
            "reasons": health.reasons,
            "components": components,
            "buffer": buffer(&counts, self.open_events_max),
            "dedup": dedup(&counts),
            "lookup": lookup(&counts),
            "sinks": sinks(&counts),
        });
        (health, report)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Component>> {
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn buffer(counts: &MetricsSnapshot, limit: u64) -> Value {
    let open = counts.gauge(Gauge::OpenEvents);
    let state = match open {
        0 => "empty",
        n if n >= limit => "full",
        _ => "filling",
    };
    json!({
        "state": state,
        "open_events": open,
        "open_events_max": limit,
        "open_bytes": counts.gauge(Gauge::OpenBytes),
        "open_epochs": counts.gauge(Gauge::OpenEpochs),
    })
}

fn dedup(counts: &MetricsSnapshot) -> Value {
    let (memory, store) = (
        counts.get(Counter::DuplicateMemory),
        counts.get(Counter::DuplicateStore),
    );
    let asked = counts.get(Counter::Decoded);
    json!({
        "keys": counts.gauge(Gauge::DedupKeys),
        "memory": { "hits": memory, "hit_rate": share(memory, asked) },
        "store": { "hits": store, "hit_rate": share(store, asked.saturating_sub(memory)) },
    })
}

fn lookup(counts: &MetricsSnapshot) -> Value {
    let (hits, misses) = (
        counts.get(Counter::LookupHit),
        counts.get(Counter::LookupMiss),
    );
    json!({ "hits": hits, "misses": misses, "success_rate": share(hits, hits + misses) })
}

fn sinks(counts: &MetricsSnapshot) -> Value {
    let applied = counts.get(Counter::Applied);
    let mut all: serde_json::Map<String, Value> = Sink::ALL
        .iter()
        .map(|sink| (sink.name().to_owned(), one_sink(counts, *sink)))
        .collect();
    if let Some(Value::Object(state)) = all.get_mut(Sink::State.name()) {
        let changed = counts.get(Counter::RecipientsChanged);
        state.insert("updates".into(), changed.into());
        state.insert("update_rate".into(), share(changed, applied));
    }
    Value::Object(all)
}

fn one_sink(counts: &MetricsSnapshot, sink: Sink) -> Value {
    let (batches, retries) = (
        counts.sink(sink, SinkCounter::Batches),
        counts.sink(sink, SinkCounter::Retries),
    );
    json!({
        "batches": batches,
        "rows": counts.sink(sink, SinkCounter::Rows),
        "retries": retries,
        "breaker_opened": counts.sink(sink, SinkCounter::BreakerOpened),
        "success_rate": share(batches, batches + retries),
    })
}

/// Part of a whole from 0 to 1; null while there is no whole.
fn share(part: u64, whole: u64) -> Value {
    match whole {
        0 => Value::Null,
        _ => json!(part as f64 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_holds_the_statistics_of_each_component() {
        let metrics = Metrics::new([]);
        metrics.count(Counter::Decoded, 100);
        metrics.count(Counter::DuplicateMemory, 20);
        metrics.count(Counter::DuplicateStore, 8);
        metrics.count(Counter::LookupHit, 3);
        metrics.count(Counter::LookupMiss, 1);
        metrics.set(Gauge::OpenEvents, 50);
        let board = Board::new(metrics, 50);
        board.post(Component::degraded("state", "starting"));
        board.post(Component::ready("state"));
        let (health, report) = board.report();
        assert!(health.ready);
        assert_eq!(report["buffer"]["state"], "full");
        assert_eq!(report["dedup"]["memory"]["hit_rate"], 0.2);
        assert_eq!(report["dedup"]["store"]["hit_rate"], 0.1);
        assert_eq!(report["lookup"]["success_rate"], 0.75);
        assert_eq!(report["sinks"]["log"]["success_rate"], Value::Null);
        assert_eq!(report["sinks"]["state"]["updates"], 0);
    }
}
