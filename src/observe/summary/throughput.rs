//! The table of a measured job: rate, cost and latency; everything else is in its summary.

use std::fmt::Write;
use std::time::Duration;

use super::{Latency, LoadProfile, Summary};
use crate::observe::numbers::{bytes, elapsed, grouped, micros, rate};

impl Summary {
    /// For people: what was measured.
    pub fn throughput_table(&self) -> String {
        let mut out = String::new();
        if let Some(load) = &self.load {
            line(&mut out, "load", &self.load_of(load));
        }
        let took = Duration::try_from_secs_f64(self.elapsed_seconds).unwrap_or_default();
        let deliveries = grouped(rate(self.received, took) as u64);
        let events = grouped(self.events_per_second as u64);
        let text = format!("{events} events/s, {deliveries} deliveries/s");
        line(&mut out, "rate", &text);
        let cost = self.cpu_seconds_per_million_events;
        let text = format!("{cost:.2} s per million events, without making them");
        line(&mut out, "cpu", &text);
        line(&mut out, "memory", &self.memory());
        self.latencies(&mut out);
        out
    }

    fn load_of(&self, load: &LoadProfile) -> String {
        let took = Duration::try_from_secs_f64(self.elapsed_seconds).unwrap_or_default();
        let pace = match load.deliveries_per_second {
            Some(rate) => format!("{} due a second", grouped(rate)),
            None => "as fast as they were taken".to_owned(),
        };
        format!(
            "{} deliveries with {} events in {}, {pace}; {} worker{}, {}",
            grouped(self.received),
            grouped(self.events),
            elapsed(took),
            load.workers,
            if load.workers == 1 { "" } else { "s" },
            load.sinks
        )
    }

    fn memory(&self) -> String {
        format!(
            "{} at most, {} before the first delivery (deliveries made beforehand, recipients)",
            bytes(self.peak_memory_bytes),
            bytes(self.memory_before_bytes)
        )
    }

    /// What a step is measured of.
    fn of_what(&self, step: &str, times: u64) -> String {
        let times = grouped(times);
        let load = self.load.as_ref();
        let from = match load.and_then(|load| load.deliveries_per_second) {
            Some(_) => "when it was due",
            None => "being read",
        };
        match step {
            "settle" => format!("each of {times} deliveries, from {from} to being durable"),
            "state_write" | "log_write" | "reject_write" => format!("each of {times} writes"),
            "end_to_end" => format!("each of {times} messages, from the broker to being durable"),
            "decode" => format!("each of {times} deliveries, mean of its group"),
            _ => format!("each of {times} groups of events"),
        }
    }

    fn latencies(&self, out: &mut String) {
        let title = row(
            "latency",
            &["50 %", "99 %", "99.9 %", "max"].map(str::to_owned),
            "",
        );
        push(out, &format!("\n{title}"));
        for step in self.steps.iter().filter(|step| step.times > 0) {
            let name = step.step.replace('_', " ");
            let what = self.of_what(step.step, step.times);
            push(out, &row(&name, &times(&step.latency), &what));
        }
    }
}

/// The figures of a row.
fn times(latency: &Latency) -> [String; 4] {
    [
        latency.p50_micros,
        latency.p99_micros,
        latency.p999_micros,
        latency.max_micros,
    ]
    .map(micros)
}

fn row(name: &str, times: &[String; 4], what: &str) -> String {
    let [a, b, c, d] = times;
    format!("  {name:<12} {a:>9} {b:>9} {c:>9} {d:>9}   {what}")
}

fn line(out: &mut String, name: &str, text: &str) {
    push(out, &format!("  {name:<12} {text}"));
}

fn push(out: &mut String, line: &str) {
    writeln!(out, "{}", line.trim_end()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, Metrics, Step};

    #[test]
    fn every_measure_is_in_the_table() {
        let metrics = Metrics::new([]);
        metrics.count(Counter::Received, 100_000);
        metrics.count(Counter::Decoded, 120_000);
        metrics.took(Step::Settle, Duration::from_millis(40), 99_000);
        metrics.took(Step::Settle, Duration::from_millis(900), 1_000);
        metrics.took(Step::StateWrite, Duration::from_millis(12), 20);
        let mut summary = Summary::of("x", &metrics.snapshot(), Duration::from_secs(2));
        summary.cpu_seconds_per_million_events = 3.456;
        summary.peak_memory_bytes = 300 << 20;
        summary.memory_before_bytes = 100 << 20;
        summary.load = Some(LoadProfile {
            deliveries_per_second: Some(50_000),
            workers: 2,
            sinks: "nothing stored".into(),
        });
        let text = summary.throughput_table();
        for part in [
            "100,000 deliveries with 120,000 events in 2.00 s, 50,000 due a second; 2 workers, nothing stored\n",
            "  rate         60,000 events/s, 50,000 deliveries/s\n",
            "  cpu          3.46 s per million events",
            "300.0 MiB at most, 100.0 MiB before the first delivery",
            "  latency           50 %      99 %    99.9 %       max\n",
            "901.1 ms  901.1 ms   each of 100,000 deliveries, from when it was due to being durable\n",
            "  state write    12.0 ms   12.0 ms   12.0 ms   12.0 ms   each of 20 writes\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains("enrich"), "{text}");
    }
}
