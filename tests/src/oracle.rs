//! What a program was promised about its files, and whether a mount keeps it.
//!
//! The oracle is a list of steps, each of which brings one name to one state, with the place in time at which it
//! began and at which the mount acknowledged it. Places are numbers that only grow: positions in the trace of a
//! [`crate::CrashFs`], or just the count of steps. Asked about a crash at a place, it wants the last state
//! acknowledged by then, and accepts a later one that had begun.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// How a step brings its name to its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At once: found whole or not at all, as by a rename.
    Whole,
    /// By appending: what stood there before stays, more may be found.
    Grown,
}

/// One step.
#[derive(Clone, Debug)]
struct Step {
    way: Way,
    state: Option<Vec<u8>>,
    begun: u64,
    acked: Option<u64>,
}

/// Steps by name.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    names: BTreeMap<String, Vec<Step>>,
    acks: u64,
}

impl Oracle {
    /// Notes that a name is about to be brought to a state: a content, or absence.
    pub fn begin(&mut self, name: &str, way: Way, state: Option<Vec<u8>>, place: u64) {
        self.names.entry(name.to_owned()).or_default().push(Step { way, state, begun: place, acked: None });
    }

    /// Notes that the last step of a name was acknowledged.
    ///
    /// # Panics
    /// When it has not begun.
    pub fn acknowledge(&mut self, name: &str, place: u64) {
        let step = self.names.get_mut(name).and_then(|steps| steps.last_mut()).expect("it has begun");
        step.acked = Some(place);
        self.acks += 1;
    }

    /// How much was acknowledged so far.
    #[must_use]
    pub const fn acks(&self) -> u64 {
        self.acks
    }

    /// The names with a content now, for the next step.
    #[must_use]
    pub fn present(&self) -> Vec<&str> {
        let is_there = |steps: &[Step]| steps.last().is_some_and(|step| step.state.is_some());
        self.names.iter().filter(|(_, steps)| is_there(steps)).map(|(name, _)| name.as_str()).collect()
    }

    /// The state a name was brought to last, when it was acknowledged.
    #[must_use]
    pub fn settled(&self, name: &str) -> Option<&[u8]> {
        let step = self.names.get(name)?.last()?;
        step.acked.and(step.state.as_deref())
    }

    /// Checks a folder found after a crash at `place`; how many names had a promise.
    ///
    /// # Errors
    /// With every promise that was broken.
    pub fn check(&self, folder: &Path, place: u64) -> Result<usize> {
        self.check_between(folder, place, place)
    }

    /// Checks a folder in which what was acknowledged by `promised` must be found, and what had begun by `begun`
    /// may be.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_between(&self, folder: &Path, promised: u64, begun: u64) -> Result<usize> {
        self.check_with(|name| Ok(content(&folder.join(name))?), promised, begun)
    }

    /// As [`Self::check_between`], of what `read` finds under a name.
    ///
    /// # Errors
    /// As [`Self::check`], and as `read` fails.
    pub fn check_with(
        &self,
        read: impl Fn(&str) -> Result<Option<Vec<u8>>>,
        promised: u64,
        begun: u64,
    ) -> Result<usize> {
        let (mut kept, mut broken) = (0, Vec::new());
        for (name, steps) in &self.names {
            let Some(last) = steps.iter().rposition(|step| step.acked.is_some_and(|at| at <= promised))
            else {
                continue;
            };
            let found = read(name).with_context(|| format!("read {name}"))?;
            let later = steps[last..].windows(2).take_while(|pair| pair[1].begun <= begun);
            match keeps(&steps[last], later, found.as_deref()) {
                true => kept += 1,
                false => broken.push(describe(name, steps, last, found.as_deref())),
            }
        }
        ensure!(broken.is_empty(), "{} promises broken: {broken:#?}", broken.len());
        Ok(kept)
    }

    /// Checks a folder in which everything acknowledged must be found.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_all(&self, folder: &Path) -> Result<usize> {
        self.check(folder, u64::MAX)
    }
}

/// Whether what was promised is found, or what a later step left; each of those comes behind the one before it.
fn keeps<'a>(promised: &Step, later: impl Iterator<Item = &'a [Step]>, found: Option<&[u8]>) -> bool {
    promised.state.as_deref() == found
        || later.into_iter().any(|pair| match (pair[1].way, &pair[1].state, &pair[0].state, found) {
            (Way::Grown, Some(whole), Some(before), Some(found)) => {
                found.starts_with(before) && found.len() <= whole.len()
            }
            (_, state, _, found) => state.as_deref() == found,
        })
}

fn content(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The promise, what is found instead, and which step that would be.
fn describe(name: &str, steps: &[Step], last: usize, found: Option<&[u8]>) -> String {
    let shape =
        |state: Option<&[u8]>| state.map_or("absent".to_owned(), |state| format!("{} bytes", state.len()));
    let was = steps.iter().rposition(|step| step.state.as_deref() == found);
    let was = was.map_or("no state it ever had".to_owned(), |step| format!("its state after step {step}"));
    let history: Vec<String> = steps
        .iter()
        .map(|step| {
            format!("{}{}", shape(step.state.as_deref()), if step.acked.is_some() { "" } else { "?" })
        })
        .collect();
    format!("{name}: step {last} is promised, found {}, {was}; steps: {}", shape(found), history.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_promise_or_a_later_attempt_is_accepted_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("name");
        let mut oracle = Oracle::default();
        oracle.begin("name", Way::Whole, Some(b"one".to_vec()), 1);
        oracle.acknowledge("name", 2);
        oracle.begin("name", Way::Whole, Some(b"two".to_vec()), 3);
        assert_eq!(oracle.check(dir.path(), 1).expect("nothing was promised"), 0);
        assert!(oracle.check(dir.path(), 2).is_err(), "it is not there");
        fs::write(&path, "two").expect("a file");
        assert!(oracle.check(dir.path(), 2).is_err(), "the second step had not begun");
        assert_eq!(oracle.check(dir.path(), 3).expect("it had begun"), 1);
        oracle.acknowledge("name", 4);
        fs::write(&path, "one").expect("a file");
        assert!(oracle.check(dir.path(), 4).is_err(), "the second step was acknowledged");
    }

    #[test]
    fn a_file_that_was_appended_to_keeps_what_was_promised_before() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("name");
        let mut oracle = Oracle::default();
        oracle.begin("name", Way::Whole, Some(b"one".to_vec()), 1);
        oracle.acknowledge("name", 2);
        oracle.begin("name", Way::Grown, Some(b"one two".to_vec()), 3);
        for (content, is_fine) in [("one", true), ("one t", true), ("onE t", false), ("one two three", false)]
        {
            fs::write(&path, content).expect("a file");
            assert_eq!(oracle.check(dir.path(), 3).is_ok(), is_fine, "{content}");
        }
    }

    #[test]
    fn what_was_replaced_and_then_appended_to_since_the_promise_is_accepted() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut oracle = Oracle::default();
        let steps = [("one", Way::Whole), ("two", Way::Whole), ("two three", Way::Grown)];
        for (place, (content, way)) in (1..).zip(steps) {
            oracle.begin("name", way, Some(content.as_bytes().to_vec()), place);
            oracle.acknowledge("name", place);
        }
        for (content, is_fine) in [("one", true), ("two", true), ("two three", true), ("one three", false)] {
            fs::write(dir.path().join("name"), content).expect("a file");
            assert_eq!(oracle.check_between(dir.path(), 1, 3).is_ok(), is_fine, "{content}");
        }
    }
}
