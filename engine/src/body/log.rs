//! What the journal knows of a body, and what it has yet to hear.
//!
//! The first batch of a dirty body carries all of it; later ones only the changes, numbered so that
//! a missing one shows. After a failed flush, a rescue or a compaction the next batch carries all
//! of it again. A clean body needs nothing: its record says everything.

use crate::body::Source;

/// A change of the extent map since the last batch.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Show { offset: u64, len: u64, source: Source },
    Clear { offset: u64, len: u64 },
    Size(u64),
}

/// What the next batch says.
#[derive(Clone, Debug, Default)]
enum Next {
    /// Nothing: the journal has it, or there is nothing to have.
    #[default]
    Nothing,
    /// That the body is clean again.
    Clean,
    /// All extents.
    Full,
    /// These changes.
    Delta(Vec<Op>),
}

/// The journal's side of one body.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyLog {
    next: Next,
    /// Whether a batch with all of the body was taken, written or still on its way: changes since
    /// then must follow it.
    told: bool,
    /// Number of the last item the journal has of this body; 0 for none.
    pub(crate) generation: u64,
    /// The segment of the last full item: from there on the journal is needed.
    pub(crate) segment: Option<u64>,
}

/// What a batch is to say about a body, taken out of its log.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    Clean,
    Full,
    Delta(Vec<Op>),
}

impl BodyLog {
    /// The log of a body that was read back from the journal.
    pub(crate) const fn restored(generation: u64, segment: u64) -> Self {
        Self { next: Next::Nothing, told: true, generation, segment: Some(segment) }
    }

    /// The body becomes dirty: all of it must be written.
    pub(crate) fn begin(&mut self) {
        self.next = Next::Full;
    }

    /// The body is its record's content again.
    pub(crate) fn clean(&mut self) {
        self.next = if self.told || self.segment.is_some() { Next::Clean } else { Next::Nothing };
    }

    /// That the body is clean could not be said: it must be said again, unless the body is dirty by now.
    pub(crate) fn clean_again(&mut self) {
        self.told = true;
        if matches!(self.next, Next::Nothing) {
            self.next = Next::Clean;
        }
    }

    /// All of it must be written again.
    pub(crate) fn rewrite(&mut self) {
        if !matches!(self.next, Next::Clean) {
            self.next = Next::Full;
        }
    }

    /// The body belongs to another file from here on: whatever the journal knows of that file's is replaced.
    pub(crate) fn retell(&mut self, is_dirty: bool) {
        self.next = if is_dirty { Next::Full } else { Next::Clean };
    }

    /// Notes a change.
    pub(crate) fn note(&mut self, op: Op) {
        match &mut self.next {
            Next::Delta(ops) => ops.push(op),
            Next::Nothing if self.told => self.next = Next::Delta(vec![op]),
            Next::Nothing | Next::Clean | Next::Full => {}
        }
    }

    /// Takes what is due.
    pub(crate) fn take(&mut self) -> Option<Due> {
        match std::mem::take(&mut self.next) {
            Next::Nothing => None,
            Next::Clean => {
                self.told = false;
                Some(Due::Clean)
            }
            Next::Full => {
                self.told = true;
                Some(Due::Full)
            }
            Next::Delta(ops) => Some(Due::Delta(ops)),
        }
    }

    /// Notes where a batch with this body's item went.
    pub(crate) const fn written(&mut self, due: &Due, generation: u64, segment: u64) {
        self.generation = generation;
        match due {
            Due::Clean => self.segment = None,
            Due::Full => self.segment = Some(segment),
            Due::Delta(_) => {}
        }
    }

    /// Whether the journal knows nothing of this body and has nothing to hear.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.next, Next::Nothing) && !self.told && self.segment.is_none()
    }

    /// Whether the journal has extents of this body.
    pub(crate) const fn is_durable(&self) -> bool {
        self.segment.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_while_the_first_batch_is_on_its_way_goes_into_the_next() {
        let mut log = BodyLog::default();
        log.begin();
        let first = log.take().expect("all of it");
        log.note(Op::Size(7));
        log.written(&first, 1, 3);
        assert!(matches!(log.take(), Some(Due::Delta(ops)) if ops.len() == 1));
        assert!(log.take().is_none());
    }

    #[test]
    fn a_body_that_settles_while_its_batch_is_on_its_way_is_said_to_be_clean() {
        let mut log = BodyLog::default();
        log.begin();
        let first = log.take().expect("all of it");
        log.clean();
        log.written(&first, 1, 3);
        assert!(matches!(log.take(), Some(Due::Clean)));
    }

    #[test]
    fn a_failure_to_say_clean_does_not_forget_newer_bytes() {
        let mut log = BodyLog::restored(1, 3);
        log.clean();
        assert!(matches!(log.take(), Some(Due::Clean)));
        log.begin();
        log.clean_again();
        assert!(matches!(log.take(), Some(Due::Full)));
    }
}
