//! Turning a losing content value into a file of its own.
//!
//! Until somebody settles a conflict, its losing values are shown as files with derived ids: a pure
//! view. Settling writes the same thing down. The new record is a function of the losing value: its
//! id is derived, all its stamps are the loser's, so two devices that settle at the same time write
//! records that merge into one.

use super::link::{Link, Names, Place};
use super::register::Register;
use super::xattr::Xattr;
use super::{Content, Node, Record};
use freehold_model::codec::to_vec;
use freehold_model::{Dot, FileId, LinkId, Stamp};

const FILE_CONTEXT: &str = "freehold v1 vault conflict file id";
const LINK_CONTEXT: &str = "freehold v1 vault conflict link id";

/// The id under which every device shows a losing content value.
#[must_use]
pub fn conflict_id(file: &FileId, loser: &Dot) -> FileId {
    FileId::from_bytes(derive(FILE_CONTEXT, &[file.as_bytes(), to_vec(loser).as_slice()]))
}

impl Record {
    /// Whether the record was made by [`Record::settle`]. Ids of other links are random.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        let derived = copy_link(&self.file);
        self.links().any(|link| link.id == derived)
    }

    /// Whether it was made from a losing value of `file`, as far as it can still be told: edits, moves
    /// and changes of mode and owner each take one trace of the loser's write away.
    #[must_use]
    pub fn is_copy_of(&self, file: &FileId) -> bool {
        self.traces().iter().any(|dot| conflict_id(file, dot) == self.file)
    }

    /// Dots that may be the one the id was derived from, each once.
    fn traces(&self) -> Vec<Dot> {
        let places = self.links().map(|link| link.placed.dot);
        let contents = self.contents().iter().map(|content| content.stamp.dot);
        let mut dots: Vec<Dot> = [self.owner.stamp.dot, self.mode.stamp.dot].into_iter().collect();
        dots.extend(places.chain(contents));
        dots.sort_unstable();
        dots.dedup();
        dots
    }

    /// Moves a losing content value into a record of its own, at `place`.
    ///
    /// `None` when the value is not there or is the current one: then nothing was changed. Both
    /// records must go out in one commit.
    pub fn settle(&mut self, loser: &Dot, place: Place, stamp: Stamp) -> Option<Self> {
        let content = self.contents().iter().find(|content| content.stamp.dot == *loser)?;
        if self.newest_content()?.stamp == content.stamp {
            return None;
        }
        let (copy, body) = (self.copy_of(content, place), content.body.clone());
        let current = self.newest_content()?.stamp;
        self.begin(stamp);
        if let Node::File { contents, .. } = &mut self.node {
            // Values equal to the loser are shown as the same copy and go with it.
            contents.retain(|old| old.stamp == current || !old.body.same_plain(&body));
        }
        Some(copy)
    }

    fn copy_of(&self, content: &Content, place: Place) -> Self {
        let stamp = content.stamp;
        let file = conflict_id(&self.file, &stamp.dot);
        let id = copy_link(&file);
        let names = Names { links: vec![Link { id, asserted: stamp, placed: stamp, place }], unlinked: None };
        let xattr =
            |(name, value): (&[u8], &[u8])| Xattr { name: name.to_vec(), stamp, value: value.to_vec() };
        let mtime = Register::new(stamp, content.mtime.value);
        Self {
            file,
            context: [stamp.dot].into_iter().collect(),
            mode: Register::new(stamp, self.mode.value),
            owner: Register::new(stamp, self.owner.value),
            xattrs: self.xattrs().map(xattr).collect(),
            node: Node::File { names, contents: vec![Content { stamp, mtime, body: content.body.clone() }] },
        }
    }
}

/// The link of a copy, from the copy's id.
fn copy_link(copy: &FileId) -> LinkId {
    LinkId::from_bytes(derive(LINK_CONTEXT, &[copy.as_bytes()]))
}

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}
