//! One bad row must not hold up a batch: halving down to the culprits.
//!
//! Contract: rows are tried from left to right, so that what is done is always a prefix. Only refusals
//! ([`Class::Data`]) are halved; a single row that is refused is a culprit. Any other error ends it, and says where to go
//! on. Each culprit costs at most 2 log2(n) extra writes.

use std::ops::Range;

use crate::error::{Class, SinkError};

/// What became of the rows.
#[derive(Debug)]
pub struct Bisected<R> {
    /// What was written, and the sink's answer to each piece; in the order of rows.
    pub good: Vec<(Range<usize>, R)>,
    /// The rows that the sink refuses, in the order of rows.
    pub culprits: Vec<(usize, SinkError)>,
    /// Every row before this one is either good or a culprit; no row from here on is either.
    pub done: usize,
    /// What ended it early, if `done` is not the end.
    pub error: Option<SinkError>,
}

/// Writes rows, as one piece if it can be, around those that are refused.
pub fn bisect<T, R>(
    rows: &[T],
    mut try_write: impl FnMut(&[T]) -> Result<R, SinkError>,
) -> Bisected<R> {
    let mut result = Bisected {
        good: Vec::new(),
        culprits: Vec::new(),
        done: 0,
        error: None,
    };
    let mut todo = Vec::new();
    todo.extend((!rows.is_empty()).then_some(0..rows.len()));
    while let Some(range) = todo.pop() {
        let written = try_write(rows.get(range.clone()).unwrap_or_default());
        if let Some((left, right)) = result.take(range, written) {
            todo.push(right);
            todo.push(left);
        }
        if result.error.is_some() {
            break;
        }
    }
    result
}

impl<R> Bisected<R> {
    /// Takes the answer to one piece; returns the halves that must be tried on their own.
    fn take(
        &mut self,
        range: Range<usize>,
        written: Result<R, SinkError>,
    ) -> Option<(Range<usize>, Range<usize>)> {
        match written {
            Ok(answer) => {
                self.done = range.end;
                self.good.push((range, answer));
            }
            Err(error) if error.class != Class::Data => self.error = Some(error),
            Err(error) if range.len() <= 1 => {
                self.done = range.end;
                self.culprits.push((range.start, error));
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                return Some((range.start..middle, middle..range.end));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(class: Class) -> SinkError {
        SinkError::new("test", class, "scripted")
    }

    proptest! {
        #[test]
        fn exactly_the_culprits_are_found(rows in proptest::collection::vec(proptest::bool::weighted(0.1), 0..300)) {
            let mut calls = 0;
            let result = bisect(&rows, |rows| {
                calls += 1;
                if rows.contains(&true) { Err(error(Class::Data)) } else { Ok(rows.len()) }
            });
            let bad: Vec<usize> = (0..rows.len()).filter(|row| rows[*row]).collect();
            let found: Vec<usize> = result.culprits.iter().map(|(row, _)| *row).collect();
            prop_assert_eq!(&found, &bad);
            prop_assert!(result.error.is_none());
            prop_assert_eq!(result.done, rows.len());
            let mut good: Vec<usize> = Vec::new();
            for (range, written) in result.good {
                prop_assert_eq!(range.len(), written);
                good.extend(range);
            }
            let right: Vec<usize> = (0..rows.len()).filter(|row| !rows[*row]).collect();
            prop_assert_eq!(good, right);
            let bound = 1 + bad.len() * 2 * (rows.len().max(1).ilog2() as usize + 1);
            prop_assert!(calls <= bound, "{} calls, bound {}", calls, bound);
        }

        #[test]
        fn another_error_ends_it_and_what_is_done_is_a_prefix(
            rows in proptest::collection::vec(proptest::bool::weighted(0.1), 1..200),
            fails_at in 1usize..40,
        ) {
            let mut calls = 0;
            let mut written = vec![false; rows.len()];
            let numbered: Vec<(usize, bool)> = rows.iter().copied().enumerate().collect();
            let result = bisect(&numbered, |rows| {
                calls += 1;
                if calls == fails_at {
                    return Err(error(Class::Outage));
                }
                if rows.iter().any(|(_, bad)| *bad) {
                    return Err(error(Class::Data));
                }
                rows.iter().for_each(|(row, _)| written[*row] = true);
                Ok(())
            });
            prop_assert_eq!(result.error.is_some(), calls == fails_at && result.done < rows.len());
            for (row, bad) in rows.iter().enumerate() {
                prop_assert_eq!(written[row], row < result.done && !bad);
            }
            let culprits = rows[..result.done].iter().filter(|bad| **bad).count();
            prop_assert_eq!(result.culprits.len(), culprits);
        }
    }
}
