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
    /// The body becomes dirty: all of it must be written.
    pub(crate) fn begin(&mut self) {
        self.next = Next::Full;
    }

    /// The body is its record's content again.
    pub(crate) fn clean(&mut self) {
        self.next = if self.segment.is_some() { Next::Clean } else { Next::Nothing };
    }

    /// That the body is clean must be said again.
    pub(crate) fn clean_again(&mut self) {
        self.next = Next::Clean;
    }

    /// All of it must be written again.
    pub(crate) fn rewrite(&mut self) {
        if !matches!(self.next, Next::Clean) {
            self.next = Next::Full;
        }
    }

    /// Notes a change.
    pub(crate) fn note(&mut self, op: Op) {
        match &mut self.next {
            Next::Delta(ops) => ops.push(op),
            Next::Nothing if self.segment.is_some() => self.next = Next::Delta(vec![op]),
            Next::Nothing | Next::Clean | Next::Full => {}
        }
    }

    /// Takes what is due.
    pub(crate) fn take(&mut self) -> Option<Due> {
        match std::mem::take(&mut self.next) {
            Next::Nothing => None,
            Next::Clean => Some(Due::Clean),
            Next::Full => Some(Due::Full),
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

    /// Whether the journal has extents of this body.
    pub(crate) const fn is_durable(&self) -> bool {
        self.segment.is_some()
    }
}
