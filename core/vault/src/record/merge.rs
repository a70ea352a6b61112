//! Two records of one node become one. Commutative, associative, idempotent.

use super::link::Names;
use super::observed;
use super::place::DirPlace;
use super::register::Register;
use super::{Node, Record};
use crate::limits;

/// Two records that no honest authors can have written. The later arrival goes to quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// They describe different nodes, or one id as two kinds of node.
    #[error("two records of one id describe different nodes; quarantine the one that came later")]
    DifferentNodes,
    /// Together they exceed what a record can hold.
    #[error("two records together exceed the record limits; quarantine the one that came later")]
    TooLarge,
}

impl Record {
    /// The state after everything in either record.
    ///
    /// # Errors
    /// `DifferentNodes`, `TooLarge`: hostile or misplaced input; neither record was changed.
    pub fn merge(&self, other: &Self) -> Result<Self, MergeError> {
        if self.file != other.file || self.kind() != other.kind() {
            return Err(MergeError::DifferentNodes);
        }
        let mut context = self.context.clone();
        context.join(&other.context);
        let merged = Self {
            file: self.file,
            mode: self.mode.merge(&other.mode),
            owner: self.owner.merge(&other.owner),
            xattrs: observed::merge((&self.xattrs, &self.context), (&other.xattrs, &other.context)),
            node: self.merge_node(other)?,
            context,
        };
        if merged.fits() { Ok(merged) } else { Err(MergeError::TooLarge) }
    }

    fn merge_node(&self, other: &Self) -> Result<Node, MergeError> {
        let (left_seen, right_seen) = (&self.context, &other.context);
        let both_names = |left: &Names, right: &Names| Names {
            links: observed::merge((&left.links, left_seen), (&right.links, right_seen)),
            unlinked: either(left.unlinked.as_ref(), right.unlinked.as_ref(), Register::merge),
        };
        Ok(match (&self.node, &other.node) {
            (Node::File { names: n1, contents: c1 }, Node::File { names: n2, contents: c2 }) => Node::File {
                names: both_names(n1, n2),
                contents: observed::merge((c1, left_seen), (c2, right_seen)),
            },
            (Node::Dir { mtime: m1, place: p1 }, Node::Dir { mtime: m2, place: p2 }) => {
                let place = DirPlace {
                    name: p1.name.merge(&p2.name),
                    parents: observed::merge((&p1.parents, left_seen), (&p2.parents, right_seen)),
                    trash: either(p1.trash.as_ref(), p2.trash.as_ref(), super::Trash::merge),
                };
                Node::Dir { mtime: m1.merge(m2), place }
            }
            (
                Node::Symlink { names: n1, mtime: m1, target: t1 },
                Node::Symlink { names: n2, mtime: m2, target: t2 },
            ) => Node::Symlink { names: both_names(n1, n2), mtime: m1.merge(m2), target: t1.max(t2).clone() },
            (
                Node::Special { kind, names: n1, mtime: m1, rdev: r1 },
                Node::Special { kind: _, names: n2, mtime: m2, rdev: r2 },
            ) => Node::Special {
                kind: *kind,
                names: both_names(n1, n2),
                mtime: m1.merge(m2),
                rdev: r1.merge(r2),
            },
            _ => return Err(MergeError::DifferentNodes),
        })
    }

    /// Whether a decoder would take the record back.
    fn fits(&self) -> bool {
        let vectors = [Some(&self.context), self.trash_mark().map(|trash| &trash.seen)];
        let links = self.names().map_or(&[][..], |names| &names.links);
        let counts = [self.xattrs.len(), links.len(), self.contents().len(), self.parents().len()];
        vectors.into_iter().flatten().all(|vector| vector.len() <= limits::VECTOR_ENTRIES_MAX)
            && counts.into_iter().all(|count| count <= limits::ELEMENTS_MAX)
            && self.encoded_len_bound() <= limits::RECORD_PLAIN_BYTES_MAX
    }
}

fn either<T: Clone>(left: Option<&T>, right: Option<&T>, both: impl FnOnce(&T, &T) -> T) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(both(left, right)),
        (one, None) | (None, one) => one.cloned(),
    }
}
