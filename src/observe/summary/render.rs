//! The summary as a person reads it: names on the left, numbers in one column, what they mean behind them.

use std::fmt::Write;
use std::time::Duration;

use super::{BatchChange, BatchLine, Summary, SummaryEntry};
use crate::observe::numbers::{bytes, elapsed, grouped, micros};

impl Summary {
    /// For people.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.notes.iter().for_each(|note| push(&mut out, note));
        if !self.notes.is_empty() {
            push(&mut out, "");
        }
        self.counts(&mut out);
        self.speed(&mut out);
        self.largest_batches(&mut out);
        self.changed_batches(&mut out);
        places(&mut out, "results", &self.results);
        places(&mut out, "look at", &self.look);
        out
    }

    fn counts(&self, out: &mut String) {
        let applied = if self.dry_run {
            "would apply"
        } else {
            "applied"
        };
        let read = format!("{} read", bytes(self.received_bytes));
        let changed = format!("{} recipients changed", grouped(self.recipients_changed));
        let layers = format!(
            "{} by memory, {} by the store",
            grouped(self.duplicates.memory),
            grouped(self.duplicates.store)
        );
        let duplicates = self.duplicates.memory + self.duplicates.store;
        count(out, "received", self.received, &read);
        count(out, "events", self.events, "");
        count(out, applied, self.applied, &changed);
        count(out, "duplicates", duplicates, &layers);
        count(out, "unmatched", self.unmatched, &self.matched_later());
        count(
            out,
            "logged only",
            self.logged_only,
            "kinds that count for nothing",
        );
        count(out, "control", self.control, "deliveries without an event");
        count(out, "dead letters", self.dead_letters, &self.reasons());
        if self.late_total_refused > 0 {
            let why = "older than what was pruned; raised no totals";
            count(out, "too late", self.late_total_refused, why);
        }
        count(
            out,
            "completions",
            self.completions,
            "batches that became complete",
        );
    }

    fn matched_later(&self) -> String {
        let (later, parked) = (grouped(self.late_matched), grouped(self.parked));
        match self.late_matched + self.parked {
            0 => String::new(),
            _ => format!("{later} matched later and applied, {parked} parked now"),
        }
    }

    fn reasons(&self) -> String {
        let reasons = self.dead_letters_by_reason.iter();
        let parts: Vec<String> = reasons
            .map(|(reason, n)| format!("{} {reason}", grouped(*n)))
            .collect();
        parts.join(", ")
    }

    fn speed(&self, out: &mut String) {
        let took = Duration::try_from_secs_f64(self.elapsed_seconds).unwrap_or_default();
        let speed = grouped(self.events_per_second as u64);
        let line = format!(
            "  {:<12} {:>15}   {speed} events/s",
            "elapsed",
            elapsed(took)
        );
        push(out, &line);
        if self.latency.max_micros > 0 {
            let times = [
                ("50 %", self.latency.p50_micros),
                ("95 %", self.latency.p95_micros),
                ("99 %", self.latency.p99_micros),
                ("99.9 %", self.latency.p999_micros),
                ("max", self.latency.max_micros),
            ];
            let times = times.map(|(share, time)| format!("{share} {}", micros(time)));
            let line = format!("  {:<12} {}", "durable in", times.join(", "));
            push(out, &line);
        }
        if self.peak_memory_bytes > 0 {
            let cost = self.cpu_seconds_per_million_events;
            let peak = bytes(self.peak_memory_bytes);
            let line = format!(
                "  {:<12} {cost:.2} CPU s per million events, {peak} of memory at most",
                "cost"
            );
            push(out, &line);
        }
    }

    fn changed_batches(&self, out: &mut String) {
        if self.changes.is_empty() {
            return;
        }
        push(
            out,
            if self.dry_run {
                "\nwould change"
            } else {
                "\nchanged"
            },
        );
        for change in &self.changes {
            push(out, &change.render());
        }
    }

    fn largest_batches(&self, out: &mut String) {
        if self.batches.is_empty() {
            return;
        }
        push(out, "\nlargest batches");
        for batch in &self.batches {
            push(out, &batch.render());
        }
    }
}

impl BatchChange {
    fn render(&self) -> String {
        let counters = self.counters.iter();
        let parts: Vec<String> = counters
            .map(|(name, before, after)| {
                format!("{name} {} → {}", grouped(*before), grouped(*after))
            })
            .collect();
        format!("  {}/{}: {}", self.user, self.batch_id, parts.join(", "))
    }
}

impl BatchLine {
    fn render(&self) -> String {
        let total = self.total.map_or("not sealed".into(), grouped);
        let completed = match &self.completed {
            Some(text) => format!("complete: {text}"),
            None => "not complete".into(),
        };
        let counters = [
            ("delivered", self.delivered),
            ("opened", self.opened),
            ("clicked", self.clicked),
            ("bounced", self.bounced),
            ("complained", self.complained),
            ("unsubscribed", self.unsubscribed),
        ];
        let counters = counters.map(|(name, n)| format!("{name} {}", grouped(n)));
        format!(
            "  {}/{}: finished {} of {total}, {completed}\n    {}",
            self.user,
            self.batch_id,
            grouped(self.finished),
            counters.join(", ")
        )
    }
}

fn count(out: &mut String, name: &str, number: u64, more: &str) {
    let line = format!("  {name:<12} {:>15}   {more}", grouped(number));
    push(out, line.trim_end());
}

fn places(out: &mut String, title: &str, places: &[SummaryEntry]) {
    if places.is_empty() {
        return;
    }
    let longest = places.iter().map(|place| place.name.chars().count());
    let width = longest.max().unwrap_or_default();
    push(out, &format!("\n{title}"));
    for place in places {
        push(out, &format!("  {:<width$}  {}", place.name, place.what));
    }
}

fn push(out: &mut String, line: &str) {
    writeln!(out, "{line}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ReasonCode;
    use crate::metrics::Metrics;
    use crate::metrics::{Counter, Step};

    fn summary() -> Summary {
        let metrics = Metrics::new([]);
        metrics.count(Counter::Received, 1_234_567);
        metrics.count(Counter::Decoded, 2_000_000);
        metrics.count(Counter::Applied, 1_900_000);
        metrics.count(Counter::DuplicateMemory, 60_000);
        metrics.count(Counter::DuplicateStore, 40_000);
        metrics.reject(ReasonCode::BadSyntax, 3);
        metrics.took(Step::Settle, Duration::from_millis(40), 10);
        let mut summary = Summary::of("demo", &metrics.snapshot(), Duration::from_secs(10));
        summary.notes = vec!["this history was already applied: nothing changed".into()];
        summary.batches = vec![BatchLine {
            user: "acme".into(),
            batch_id: "spring".into(),
            total: Some(50_000),
            finished: 50_000,
            completed: Some("2026-03-02T09:00:00Z (all)".into()),
            ..BatchLine::default()
        }];
        summary.changes = vec![BatchChange {
            user: "acme".into(),
            batch_id: "spring".into(),
            counters: vec![("opened".into(), 0, 1_200)],
        }];
        summary.look = vec![SummaryEntry::new("hookflow dlq list", "dead letters")];
        summary
    }

    #[test]
    fn a_person_finds_every_number() {
        let text = summary().render();
        for part in [
            "this history was already applied: nothing changed\n\n",
            "  received           1,234,567   0 B read\n",
            "  duplicates           100,000   60,000 by memory, 40,000 by the store\n",
            "  dead letters               3   3 bad_syntax\n",
            "  elapsed               10.0 s   200,000 events/s\n",
            "acme/spring: finished 50,000 of 50,000, complete: 2026-03-02T09:00:00Z (all)",
            "changed\n  acme/spring: opened 0 → 1,200\n",
            "  hookflow dlq list  dead letters\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }

    #[test]
    fn a_program_finds_the_same_numbers() {
        let json: serde_json::Value = serde_json::from_str(&summary().to_json()).unwrap();
        assert_eq!(json["received"], 1_234_567);
        assert_eq!(json["duplicates"]["store"], 40_000);
        assert_eq!(json["dead_letters_by_reason"]["bad_syntax"], 3);
        assert_eq!(json["events_per_second"], 200_000.0);
        assert_eq!(json["batches"][0]["total"], 50_000);
    }
}
