//! All nodes by number, most of them packed.
//!
//! Who asks for a node gets it open; who goes over all of them looks into packed ones without leaving
//! them open. A pass of the flush thread packs what was not asked for since the pass before, beyond
//! the few thousand that stay open. What was only read is packed by forgetting it: its packed form is
//! kept until the node changes. Of packed nodes again those that nobody looked at fall asleep
//! ([`rest`](super::rest)), beyond the many thousand that stay.

use crate::Ino;
use crate::limits;
use crate::tables::asleep::Bedtime;
use crate::tables::node::Node;
use crate::tables::packed::Packed;
use crate::tables::rest::is_forgettable;
use freehold_model::VersionHash;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;

/// One node, open or packed or both.
struct Slot {
    open: OnceCell<Box<Node>>,
    /// Stands for the node while it is not open, and as long as it did not change since.
    packed: Option<Packed>,
    /// References the kernel holds.
    lookups: u64,
    /// In the queue of those that may be packed.
    is_queued: Cell<bool>,
    /// In the queue of those that may fall asleep.
    is_resting: bool,
    /// Asked for since the last pass.
    is_used: Cell<bool>,
}

/// The nodes of a vault.
#[derive(Default)]
pub(crate) struct Nodes {
    /// Nodes that stay open, and that stay packed.
    stay: (usize, usize),
    slots: HashMap<Ino, Slot>,
    /// Open nodes that may be settled, the one to look at first at the front.
    queue: RefCell<VecDeque<Ino>>,
    /// Packed nodes, the one to look at first at the front.
    resting: VecDeque<Ino>,
}

impl Nodes {
    /// Says how many files stay in memory when nobody looks at them.
    pub(crate) fn let_stay(&mut self, files: usize) {
        self.stay = (limits::NODES_OPEN.min(files), files);
    }

    /// A node.
    pub(crate) fn get(&self, ino: Ino) -> Option<&Node> {
        let slot = self.slots.get(&ino)?;
        slot.is_used.set(true);
        Some(slot.open.get_or_init(|| {
            self.enqueue(ino, slot);
            Box::new(slot.opened(ino))
        }))
    }

    /// A node for a change.
    pub(crate) fn get_mut(&mut self, ino: Ino) -> Option<&mut Node> {
        let slot = self.slots.get_mut(&ino)?;
        if slot.open.get().is_none() {
            slot.open = OnceCell::from(Box::new(slot.opened(ino)));
        }
        if !slot.is_queued.replace(true) {
            self.queue.get_mut().push_back(ino);
        }
        slot.packed = None;
        slot.is_used.set(true);
        slot.open.get_mut().map(|node| &mut **node)
    }

    fn enqueue(&self, ino: Ino, slot: &Slot) {
        if !slot.is_queued.replace(true) {
            self.queue.borrow_mut().push_back(ino);
        }
    }

    /// A node for a look: a packed one stays packed.
    pub(crate) fn peek(&self, ino: Ino) -> Option<Peek<'_>> {
        let slot = self.slots.get(&ino)?;
        slot.is_used.set(true);
        Some(slot.peek(ino))
    }

    /// As [`Self::peek`], of somebody who looks at many: the node does not count as asked for.
    pub(crate) fn glance(&self, ino: Ino) -> Option<Peek<'_>> {
        Some(self.slots.get(&ino)?.peek(ino))
    }

    /// Whether there is such a node.
    pub(crate) fn contains(&self, ino: Ino) -> bool {
        self.slots.contains_key(&ino)
    }

    /// The heads of a node.
    pub(crate) fn heads(&self, ino: Ino) -> Vec<VersionHash> {
        let Some(slot) = self.slots.get(&ino) else { return Vec::new() };
        match (slot.open.get(), &slot.packed) {
            (Some(node), _) => node.sync.heads.clone(),
            (None, Some(packed)) => packed.heads(),
            (None, None) => Vec::new(),
        }
    }

    /// All nodes, in no order, for a look.
    pub(crate) fn scan(&self) -> impl Iterator<Item = Peek<'_>> {
        self.slots.iter().map(|(ino, slot)| slot.peek(*ino))
    }

    /// The nodes that are open, in no order: all that are not settled, and all directories that have entries.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Node> {
        self.slots.values().filter_map(|slot| slot.open.get().map(|node| &**node))
    }

    /// Adds a node, or puts one in the place of another.
    pub(crate) fn insert(&mut self, ino: Ino, node: Node) {
        let slot = Slot {
            open: OnceCell::from(Box::new(node)),
            packed: None,
            lookups: 0,
            is_queued: Cell::new(true),
            is_resting: false,
            is_used: Cell::new(true),
        };
        self.slots.insert(ino, slot);
        self.queue.get_mut().push_back(ino);
    }

    /// Adds a node, packed if it can be.
    pub(crate) fn insert_packed(&mut self, ino: Ino, node: Node) {
        self.insert(ino, node);
        self.queue.get_mut().pop_back();
        if let Some(slot) = self.slots.get_mut(&ino) {
            slot.is_queued.set(false);
            if slot.pack() && !std::mem::replace(&mut slot.is_resting, true) {
                self.resting.push_back(ino);
            }
        }
    }

    /// Says in which directory one of a node's names is shown.
    pub(crate) fn place(&mut self, ino: Ino, number: u16, dir: Ino) {
        let Some(slot) = self.slots.get_mut(&ino) else { return };
        if let Some(link) = slot.open.get_mut().and_then(|node| node.links.get_mut(usize::from(number))) {
            link.dir = dir;
        }
        if let Some(packed) = &mut slot.packed {
            packed.place(number, dir);
        }
    }

    /// The numbers of all nodes, in no order.
    pub(crate) fn inos(&self) -> impl Iterator<Item = Ino> {
        self.slots.keys().copied()
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, ino: Ino) -> Option<Node> {
        let mut slot = self.slots.remove(&ino)?;
        Some(slot.open.take().map_or_else(|| slot.opened(ino), |node| *node))
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// References the kernel holds to a node.
    pub(crate) fn lookups(&self, ino: Ino) -> u64 {
        self.slots.get(&ino).map_or(0, |slot| slot.lookups)
    }

    /// Notes more references of the kernel; false for a node that is not here.
    pub(crate) fn hold(&mut self, ino: Ino, count: u64) -> bool {
        let slot = self.slots.get_mut(&ino);
        slot.map(|slot| slot.lookups = slot.lookups.saturating_add(count)).is_some()
    }

    /// Drops references of the kernel; false for a node that is not here.
    pub(crate) fn release(&mut self, ino: Ino, count: u64) -> bool {
        let slot = self.slots.get_mut(&ino);
        slot.map(|slot| slot.lookups = slot.lookups.saturating_sub(count)).is_some()
    }

    /// Whether a node is packed and nothing else: settled, with nothing left to do.
    pub(crate) fn is_packed(&self, ino: Ino) -> bool {
        self.slots.get(&ino).is_some_and(|slot| slot.open.get().is_none())
    }

    /// How many open nodes there are more than stay so.
    pub(crate) fn surplus(&self) -> usize {
        self.queue.borrow().len().saturating_sub(self.stay.0)
    }

    /// Looks at `count` open nodes and packs those that are settled, not busy and not in use; the deletions
    /// among them that nobody holds. What is held, or may be needed, waits.
    pub(crate) fn pack(&mut self, count: usize, bedtime: Bedtime, is_busy: impl Fn(Ino) -> bool) -> Vec<Ino> {
        let mut forgettable = Vec::new();
        for _ in 0..count {
            let Some(ino) = self.queue.get_mut().pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&ino) else { continue };
            if slot.is_used.replace(false) {
                self.queue.get_mut().push_back(ino);
                continue;
            }
            let is_gone =
                bedtime != Bedtime::Never && slot.open.get().is_some_and(|node| is_forgettable(node));
            if is_gone && (bedtime == Bedtime::NotNow || slot.lookups > 0) {
                self.queue.get_mut().push_back(ino);
                continue;
            }
            // One that is not settled comes back with the change that settles it.
            slot.is_queued.set(false);
            if is_busy(ino) || !slot.pack() {
                continue;
            }
            if is_gone {
                forgettable.push(ino);
            } else if !std::mem::replace(&mut slot.is_resting, true) {
                self.resting.push_back(ino);
            }
        }
        forgettable
    }

    /// Gives back the room of nodes that went, once that is most of it.
    pub(crate) fn give_room_back(&mut self) {
        let len = self.slots.len();
        if self.slots.capacity() > 4 * len + limits::NODES_OPEN {
            self.slots.shrink_to(2 * len);
            self.queue.get_mut().shrink_to(len);
            self.resting.shrink_to(len);
        }
    }

    /// How many packed nodes there are more than stay so.
    pub(crate) fn crowd(&self) -> usize {
        self.resting.len().saturating_sub(self.stay.1)
    }

    /// Looks at `count` packed nodes; those that nobody looked at since the last time.
    pub(crate) fn unused(&mut self, count: usize) -> Vec<Ino> {
        let mut unused = Vec::new();
        for _ in 0..count {
            let Some(ino) = self.resting.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&ino) else { continue };
            if slot.open.get().is_some() {
                // It comes back when it is packed again.
                slot.is_resting = false;
            } else if slot.is_used.replace(false) {
                self.resting.push_back(ino);
            } else {
                slot.is_resting = false;
                unused.push(ino);
            }
        }
        unused
    }
}

impl Slot {
    fn opened(&self, ino: Ino) -> Node {
        self.packed.as_ref().expect("a node is open or packed").open(ino)
    }

    fn peek(&self, ino: Ino) -> Peek<'_> {
        match self.open.get() {
            Some(node) => Peek::Open(node),
            None => Peek::Packed(Box::new(self.opened(ino))),
        }
    }

    /// Packs the node if it is settled; whether it is packed.
    fn pack(&mut self) -> bool {
        if let Some(node) = self.open.get()
            && self.packed.is_none()
        {
            self.packed = Packed::of(node);
        }
        if self.packed.is_some() {
            self.open.take();
        }
        self.packed.is_some()
    }
}

/// A node that is looked at.
pub(crate) enum Peek<'a> {
    /// It is open.
    Open(&'a Node),
    /// It is packed: what it holds, for as long as the look takes.
    Packed(Box<Node>),
}

impl Deref for Peek<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        match self {
            Self::Open(node) => node,
            Self::Packed(node) => node,
        }
    }
}
