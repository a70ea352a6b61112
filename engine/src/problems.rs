//! What a person should know, kept while it is true.
//!
//! Tasks raise and clear problems by code; raising one twice changes nothing and logs nothing, so
//! a server that is away for a day is one line in the log.

use freehold_api::control::Problem;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The problems that are true now, by code.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<BTreeMap<&'static str, Problem>>);

impl Problems {
    /// Notes a problem, and logs it when it was not there yet or says something else; whether it was.
    pub(crate) fn raise(&self, code: &'static str, message: impl Into<String>, hint: &str) -> bool {
        let problem = Problem { code: code.to_owned(), message: message.into(), hint: hint.to_owned() };
        let mut problems = self.0.lock();
        let is_news = problems.get(code) != Some(&problem);
        if is_news {
            tracing::warn!(code, "{}; {}", problem.message, problem.hint);
            problems.insert(code, problem);
        }
        is_news
    }

    /// Notes that a problem is over.
    pub(crate) fn clear(&self, code: &'static str) {
        if self.0.lock().remove(code).is_some() {
            tracing::info!(code, "the problem is over");
        }
    }

    /// All problems, by code.
    pub(crate) fn list(&self) -> Vec<Problem> {
        self.0.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_listed_once_and_until_it_is_over() {
        let problems = Problems::default();
        assert!(problems.raise("disk_full", "the node's disk is full", "free space"));
        assert!(!problems.raise("disk_full", "the node's disk is full", "free space"));
        assert_eq!(problems.list().len(), 1);
        problems.clear("disk_full");
        problems.clear("disk_full");
        assert!(problems.list().is_empty());
    }
}
