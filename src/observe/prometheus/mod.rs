//! The metrics in Prometheus' text format.
//!
//! Five names are those of the system that hookflow replaces, so its dashboards keep working: `webhooks_received_total`,
//! `webhook_batch_size`, `webhook_processing_duration` (seconds), `webhook_queue_depth` and `webhooks_processed_total`.
//! What is new is named in the same style, with base units. Written by hand: the format is a few lines, and the counts
//! live in the metrics already.

mod families;
mod page;

use self::families::{COUNTERS, GAUGES, SINKS};
use self::page::Page;
use crate::metrics::{Counter, Gauge, MetricsSnapshot, Sink, Step};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of durations in microseconds, shown as seconds.
const DURATION_BOUNDS: [u64; 16] = [
    10, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 15_000_000, 60_000_000,
];

/// Bounds of rows per write.
const ROW_BOUNDS: [u64; 11] = [
    1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000,
];

/// Everything in the metrics, as text.
pub fn render(counts: &MetricsSnapshot) -> String {
    let mut page = Page::default();
    fixed_names(&mut page, counts);
    events(&mut page, counts);
    sinks(&mut page, counts);
    memory(&mut page, counts);
    page.text
}

fn fixed_names(page: &mut Page, counts: &MetricsSnapshot) {
    page.counter(
        "webhooks_received_total",
        "Deliveries taken from the source.",
    )
    .sample(&[], counts.get(Counter::Received));
    page.counter(
        "webhooks_processed_total",
        "Events, dead letters and control messages by where they ended.",
    );
    for (outcome, count) in counts.outcomes() {
        page.sample(&[("outcome", outcome)], count);
    }
    page.gauge(
        "webhook_queue_depth",
        "Events that are not yet durable in every sink.",
    )
    .sample(&[], counts.gauge(Gauge::OpenEvents));
    page.histogram("webhook_batch_size", "Rows of one durable write, by sink.");
    for sink in Sink::ALL {
        let sizes = counts.batch_sizes(*sink);
        page.histogram_series(("sink", sink.name()), sizes, &ROW_BOUNDS, 1.0);
    }
    page.histogram(
        "webhook_processing_duration",
        "Seconds that a step takes; settle is from reading a delivery to its being durable in every sink, end_to_end from when the broker took it.",
    );
    for step in Step::ALL {
        let times = counts.step(*step);
        page.histogram_series(("step", step.name()), times, &DURATION_BOUNDS, 1e6);
    }
}

fn events(page: &mut Page, counts: &MetricsSnapshot) {
    page.counter("webhooks_decoded_total", "Deliveries by provider.");
    for (provider, count) in counts.providers() {
        page.sample(&[("provider", provider)], count);
    }
    page.counter("webhooks_rejected_total", "Dead letters by reason.");
    for (reason, count) in counts.reasons() {
        page.sample(&[("reason", reason)], count);
    }
    page.counter(
        "webhooks_duplicates_total",
        "Duplicates by the layer that saw them.",
    )
    .sample(&[("layer", "memory")], counts.get(Counter::DuplicateMemory))
    .sample(&[("layer", "store")], counts.get(Counter::DuplicateStore));
    page.counter("webhook_lookups_total", "Joins with the recipients.")
        .sample(&[("result", "hit")], counts.get(Counter::LookupHit))
        .sample(&[("result", "miss")], counts.get(Counter::LookupMiss));
    for (counter, name, help) in COUNTERS {
        page.counter(name, help).sample(&[], counts.get(counter));
    }
}

fn sinks(page: &mut Page, counts: &MetricsSnapshot) {
    for (counter, name, help) in SINKS {
        page.counter(name, help);
        for sink in Sink::ALL {
            page.sample(&[("sink", sink.name())], counts.sink(*sink, counter));
        }
    }
}

fn memory(page: &mut Page, counts: &MetricsSnapshot) {
    for (gauge, name, help) in GAUGES {
        page.gauge(name, help).sample(&[], counts.gauge(gauge));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::event::ReasonCode;
    use crate::metrics::Metrics;

    /// Reads the exposition format: sample (name with labels) → value; checks what every line must fulfil.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let (mut family, mut samples) = (String::new(), BTreeMap::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert_eq!(family, name, "HELP comes before TYPE");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split_once(' ').unwrap().0.to_owned();
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(sample.starts_with(&family), "{sample} is not in {family}");
                let before = samples.insert(sample.to_owned(), value.parse().unwrap());
                assert_eq!(before, None, "{sample} occurs twice");
            }
        }
        samples
    }

    #[test]
    fn the_page_parses_and_holds_the_fixed_names() {
        let metrics = Metrics::new(["ses"]);
        metrics.count(Counter::Received, 7);
        metrics.count(Counter::DuplicateMemory, 2);
        metrics.count(Counter::DuplicateStore, 3);
        metrics.reject(ReasonCode::Limit, 4);
        metrics.set(Gauge::OpenEvents, 9);
        metrics.wrote(Sink::State, 100, Duration::from_millis(20));
        let samples = parse(&render(&metrics.snapshot()));
        assert_eq!(samples["webhooks_received_total"], 7.0);
        assert_eq!(
            samples["webhooks_processed_total{outcome=\"duplicate\"}"],
            5.0
        );
        assert_eq!(
            samples["webhooks_processed_total{outcome=\"dead_letter\"}"],
            4.0
        );
        assert_eq!(samples["webhooks_rejected_total{reason=\"limit\"}"], 4.0);
        assert_eq!(samples["webhook_queue_depth"], 9.0);
        assert_eq!(samples["webhook_batch_size_sum{sink=\"state\"}"], 100.0);
        let step = "webhook_processing_duration";
        assert_eq!(
            samples[&format!("{step}_sum{{step=\"state_write\"}}")],
            0.02
        );
        assert_eq!(
            samples[&format!("{step}_bucket{{step=\"state_write\",le=\"0.01\"}}")],
            0.0
        );
        assert_eq!(
            samples[&format!("{step}_bucket{{step=\"state_write\",le=\"0.05\"}}")],
            1.0
        );
    }

    #[test]
    fn buckets_never_fall() {
        let metrics = Metrics::new([]);
        for n in 0..2_000u64 {
            metrics.took(Step::Settle, Duration::from_micros(n * n * 7), 1);
        }
        let text = render(&metrics.snapshot());
        let settle = text
            .lines()
            .filter(|line| line.starts_with("webhook_processing_duration_bucket{step=\"settle\""));
        let counts: Vec<u64> = settle
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(counts.len(), DURATION_BOUNDS.len() + 1);
        assert!(counts.is_sorted());
        assert_eq!(counts.last(), Some(&2_000));
    }
}
