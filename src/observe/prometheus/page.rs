//! How a family and its samples are written.

use std::fmt::Write as _;

use crate::metrics::Histogram;

/// The text so far, and the family that is being written.
#[derive(Default)]
pub(super) struct Page {
    pub text: String,
    family: &'static str,
}

impl Page {
    pub fn counter(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "counter")
    }

    pub fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "gauge")
    }

    pub fn histogram(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, help, "histogram")
    }

    fn begin(&mut self, name: &'static str, help: &str, kind: &str) -> &mut Self {
        self.family = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        self
    }

    /// One sample. Labels come from closed sets, so their values need no escaping.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let name = self.family;
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"))
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")))
        }
        self
    }

    pub fn histogram_series(
        &mut self,
        label: (&str, &str),
        histogram: &Histogram,
        bounds: &[u64],
        unit: f64,
    ) {
        let (name, label) = (self.family, format!("{}=\"{}\"", label.0, label.1));
        for bound in bounds {
            let (le, count) = (*bound as f64 / unit, histogram.at_most(*bound));
            self.line(format_args!("{name}_bucket{{{label},le=\"{le}\"}} {count}"));
        }
        let (count, sum) = (histogram.count(), histogram.sum() as f64 / unit);
        self.line(format_args!("{name}_bucket{{{label},le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum{{{label}}} {sum}"));
        self.line(format_args!("{name}_count{{{label}}} {count}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{text}").unwrap_or_default();
    }
}
