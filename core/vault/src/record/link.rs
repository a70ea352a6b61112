//! Names of files, symlinks and special nodes: an observed-remove map of hard links.
//!
//! A link carries two stamps. `asserted` is the newest write of *any* kind that knew the link: an
//! edit asserts every link of its file again, so a deletion that had not seen the edit cannot remove
//! it (edit beats delete). `placed` is the write that chose parent and name; it alone decides
//! between concurrent values, so a mere edit never undoes a concurrent rename.

use super::observed::Element;
use super::register::Register;
use freehold_model::{Dot, FileId, LinkId, Stamp};

/// Where a link stands: parent directory and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The parent directory.
    pub parent: FileId,
    /// The name in it: 1 to 255 bytes, no `/`, no NUL.
    pub name: Vec<u8>,
}

/// One value of one link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Which link.
    pub id: LinkId,
    /// The newest write that knew the link; its dot names this element.
    pub asserted: Stamp,
    /// The write that chose the place.
    pub placed: Stamp,
    /// Where it stands.
    pub place: Place,
}

impl Element for Link {
    type Key = LinkId;

    fn key(&self) -> &LinkId {
        &self.id
    }

    fn dot(&self) -> &Dot {
        &self.asserted.dot
    }

    fn absorb(&mut self, other: &Self) {
        if *self < *other {
            other.clone_into(self);
        }
    }
}

/// All links of a node, and where the last one stood once there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Sorted by (link, asserting dot).
    pub(crate) links: Vec<Link>,
    /// The place of the link whose removal left none: where the trash restores to.
    pub(crate) unlinked: Option<Register<Place>>,
}

impl Names {
    pub(crate) fn one(id: LinkId, place: Place, stamp: Stamp) -> Self {
        Self { links: vec![Link { id, asserted: stamp, placed: stamp, place }], unlinked: None }
    }

    /// The winning value of each link, by link id.
    pub(crate) fn current(&self) -> impl Iterator<Item = &Link> + '_ {
        self.links.chunk_by(|a, b| a.id == b.id).filter_map(winner)
    }

    pub(crate) fn find(&self, id: &LinkId) -> Option<&Link> {
        self.current().find(|link| link.id == *id)
    }

    /// Replaces every value of the link.
    pub(crate) fn put(&mut self, link: Link) {
        self.links.retain(|old| old.id != link.id);
        super::observed::insert(&mut self.links, link);
    }

    /// Keeps one value a link and marks each as known to this write.
    pub(crate) fn assert_all(&mut self, stamp: Stamp) {
        let current: Vec<Link> =
            self.current().map(|link| Link { asserted: stamp, ..link.clone() }).collect();
        self.links = current;
    }
}

fn winner(values: &[Link]) -> Option<&Link> {
    values.iter().max_by(|a, b| (a.placed, &a.place).cmp(&(b.placed, &b.place)))
}
