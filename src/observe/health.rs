//! Ready or not, and why: a pure judgement over what the components say of themselves.

use serde::Serialize;

/// The state of a sink's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerStatus {
    /// Writes go through.
    Closed,
    /// The sink is paused.
    Open,
    /// One write is tried.
    HalfOpen,
}

/// What one component says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its name: `source`, `state`, `log`, …
    pub name: &'static str,
    /// Why it is not ready; absent if it is. Names no address, secret or payload.
    #[serde(rename = "trouble")]
    pub problem: Option<String>,
    /// Its breaker, where it has one.
    pub breaker: Option<BreakerStatus>,
}

impl Component {
    /// A component that is ready.
    pub const fn ready(name: &'static str) -> Self {
        Self {
            name,
            problem: None,
            breaker: None,
        }
    }

    /// A component that is not ready, and why.
    pub fn degraded(name: &'static str, problem: impl Into<String>) -> Self {
        Self {
            name,
            problem: Some(problem.into()),
            breaker: None,
        }
    }

    /// The same with the state of its breaker.
    pub const fn with_breaker(mut self, breaker: BreakerStatus) -> Self {
        self.breaker = Some(breaker);
        self
    }
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether work gets done.
    pub ready: bool,
    /// If not: why, one sentence a component.
    pub reasons: Vec<String>,
}

impl Health {
    /// Judges: ready if every component is and no breaker is open; no component yet means not ready.
    pub fn of(components: &[Component]) -> Self {
        let mut reasons: Vec<String> = components.iter().filter_map(reason).collect();
        if components.is_empty() {
            reasons.push("starting: no component has reported yet".to_owned());
        }
        Self {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

fn reason(component: &Component) -> Option<String> {
    let name = component.name;
    match (&component.problem, component.breaker) {
        (Some(problem), Some(BreakerStatus::Open | BreakerStatus::HalfOpen)) => {
            Some(format!("{name}: {problem}; the source is paused"))
        }
        (Some(problem), _) => Some(format!("{name}: {problem}")),
        (None, Some(BreakerStatus::Open)) => {
            Some(format!("{name}: its breaker is open, the source is paused"))
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_named() {
        let components = [
            Component::ready("source"),
            Component::ready("state").with_breaker(BreakerStatus::Open),
            Component::degraded("log", "the disk is full").with_breaker(BreakerStatus::Open),
        ];
        let health = Health::of(&components);
        assert!(!health.ready);
        let expected = [
            "state: its breaker is open, the source is paused",
            "log: the disk is full; the source is paused",
        ];
        assert_eq!(health.reasons, expected);
    }

    #[test]
    fn ready_needs_a_report_and_survives_a_trial() {
        assert!(!Health::of(&[]).ready);
        let trial = Component::ready("state").with_breaker(BreakerStatus::HalfOpen);
        assert!(Health::of(&[trial]).ready);
    }
}
