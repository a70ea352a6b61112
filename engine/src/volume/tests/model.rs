//! Random work against a reference: a map of paths to bytes, with flushes, crashes and cuts between.

use super::remote::{cut_all, send};
use crate::testing::{Rig, child, file, names, read};
use crate::{Ino, Kind, NewNode, Preallocate, ROOT, Volume};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Directories hold names, files hold bytes; hard links share a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// (directory, name) to node; directory 0 is the root.
    entries: BTreeMap<(u32, u8), u32>,
    dirs: BTreeMap<u32, ()>,
    files: BTreeMap<u32, Vec<u8>>,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create { dir: u8, name: u8 },
    MakeDir { dir: u8, name: u8 },
    Link { dir: u8, name: u8, to: u8 },
    Remove { dir: u8, name: u8 },
    Move { dir: u8, name: u8, to_dir: u8, to: u8 },
    Write { dir: u8, name: u8, offset: u16, len: u32, byte: u8 },
    Truncate { dir: u8, name: u8, size: u16 },
    Punch { dir: u8, name: u8, offset: u16, len: u16 },
    Copy { dir: u8, name: u8, to: u8, offset: u16, len: u16 },
    Sync,
    Cut,
    Send,
    Crash { seed: u64 },
    Reopen,
}

fn steps() -> impl Strategy<Value = Step> {
    let place = || (0..3_u8, 0..4_u8);
    prop_oneof![
        4 => place().prop_map(|(dir, name)| Step::Create { dir, name }),
        2 => place().prop_map(|(dir, name)| Step::MakeDir { dir, name }),
        1 => (place(), 0..4_u8).prop_map(|((dir, name), to)| Step::Link { dir, name, to }),
        2 => place().prop_map(|(dir, name)| Step::Remove { dir, name }),
        3 => (place(), place()).prop_map(|((dir, name), (to_dir, to))| Step::Move { dir, name, to_dir, to }),
        8 => (place(), 0..3_000_u16, prop_oneof![4 => 1..2_000_u32, 1 => 60_000..150_000_u32], any::<u8>())
            .prop_map(|((dir, name), offset, len, byte)| Step::Write { dir, name, offset, len, byte }),
        2 => (place(), 0..4_000_u16).prop_map(|((dir, name), size)| Step::Truncate { dir, name, size }),
        1 => (place(), 0..3_000_u16, 1..2_000_u16)
            .prop_map(|((dir, name), offset, len)| Step::Punch { dir, name, offset, len }),
        2 => (place(), 0..4_u8, 0..3_000_u16, 1..3_000_u16)
            .prop_map(|((dir, name), to, offset, len)| Step::Copy { dir, name, to, offset, len }),
        3 => Just(Step::Sync),
        1 => Just(Step::Cut),
        2 => Just(Step::Send),
        1 => (1..u64::MAX).prop_map(|seed| Step::Crash { seed }),
        1 => Just(Step::Reopen),
    ]
}

/// The volume and the model side by side. Directory numbers of steps are looked up among the
/// directories that exist, so that most steps do something.
struct Pair {
    rig: Rig,
    volume: Arc<Volume>,
    model: Model,
    /// Every state since the last sync: what a crash may leave.
    history: Vec<Model>,
    /// Where the index is, if there is one: files sleep then.
    _dir: Option<tempfile::TempDir>,
}

impl Pair {
    fn new(has_index: bool) -> Self {
        let dir = has_index.then(|| tempfile::tempdir().expect("a temporary directory"));
        let index = dir.as_ref().map(|dir| dir.path().join("index.db"));
        let rig = Rig { index, ..Rig::new() };
        let volume = rig.open();
        let model = Model { next: 1, ..Model::default() };
        Self { rig, volume, history: vec![model.clone()], model, _dir: dir }
    }

    /// The n-th directory, as the model and the volume know it.
    fn dir(&self, n: u8) -> (u32, Ino) {
        let dirs: Vec<u32> = std::iter::once(0).chain(self.model.dirs.keys().copied()).collect();
        let dir = dirs[usize::from(n) % dirs.len()];
        (dir, self.ino_of(dir))
    }

    fn ino_of(&self, node: u32) -> Ino {
        if node == 0 {
            return ROOT;
        }
        let ((parent, name), _) = self.model.entries.iter().find(|(_, found)| **found == node).expect("live");
        let parent = self.ino_of(*parent);
        child(&self.volume, parent, &[b'a' + name]).expect("as in the model")
    }

    fn is_dir(&self, node: u32) -> bool {
        self.model.dirs.contains_key(&node)
    }

    fn is_below(&self, mut node: u32, above: u32) -> bool {
        loop {
            if node == above {
                return true;
            }
            match self.model.entries.iter().find(|(_, found)| **found == node) {
                Some(((parent, _), _)) => node = *parent,
                None => return false,
            }
        }
    }

    fn is_empty(&self, dir: u32) -> bool {
        !self.model.entries.keys().any(|(parent, _)| *parent == dir)
    }

    /// Removes a name, and the file with its last one.
    fn unlink(&mut self, key: (u32, u8)) {
        let Some(node) = self.model.entries.remove(&key) else { return };
        if !self.model.entries.values().any(|other| *other == node) {
            self.model.dirs.remove(&node);
            self.model.files.remove(&node);
        }
    }

    fn file_at(&self, dir: u8, name: u8) -> Option<(u32, Ino)> {
        let (dir, _) = self.dir(dir);
        let node = *self.model.entries.get(&(dir, name))?;
        (!self.is_dir(node)).then(|| (node, self.ino_of(node)))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create { dir, name } => self.create(dir, name, Kind::File),
            Step::MakeDir { dir, name } => self.create(dir, name, Kind::Dir),
            Step::Link { dir, name, to } => self.link(dir, name, to),
            Step::Remove { dir, name } => self.remove(dir, name),
            Step::Move { dir, name, to_dir, to } => self.rename(dir, name, to_dir, to),
            Step::Sync => {
                self.volume.fsync(None).expect("a healthy disk");
                self.history.clear();
            }
            Step::Cut => cut_small(&self.volume),
            Step::Send => send(&self.volume, drop),
            Step::Crash { seed } => self.crash(seed),
            Step::Reopen => {
                self.volume.close().expect("a healthy disk");
                self.history.clear();
                self.rig = self.rig.on(self.rig.disk.reopened());
                self.volume = Volume::in_memory(0, 0, Box::new(self.rig.clock.clone()));
                self.volume = self.rig.open();
            }
            other => self.body(other),
        }
        self.history.push(self.model.clone());
    }

    fn create(&mut self, dir: u8, name: u8, kind: Kind) {
        let (dir, ino) = self.dir(dir);
        let made = self.volume.lock().insert(ino, &[b'a' + name], NewNode { kind, ..file() });
        assert_eq!(made.is_ok(), !self.model.entries.contains_key(&(dir, name)));
        if made.is_ok() {
            let node = self.model.next;
            self.model.next += 1;
            self.model.entries.insert((dir, name), node);
            if kind == Kind::Dir {
                self.model.dirs.insert(node, ());
            } else {
                self.model.files.insert(node, Vec::new());
            }
        }
    }

    fn link(&mut self, dir: u8, name: u8, to: u8) {
        let Some((node, ino)) = self.file_at(dir, name) else { return };
        let (dir, dir_ino) = self.dir(dir);
        let name = [b'a' + to];
        let tables = self.volume.lock_for(&[ino], &[(dir_ino, &name)]);
        let made = tables.expect("the index is there").add_link(ino, dir_ino, &name);
        assert_eq!(made.is_ok(), !self.model.entries.contains_key(&(dir, to)));
        self.model.entries.entry((dir, to)).or_insert(node);
    }

    fn remove(&mut self, dir: u8, name: u8) {
        let (dir, ino) = self.dir(dir);
        let tables = self.volume.lock_names(&[(ino, &[b'a' + name])]);
        let removed = tables.expect("the index is there").remove_link(ino, &[b'a' + name]);
        let node = self.model.entries.get(&(dir, name)).copied();
        assert_eq!(removed.is_ok(), node.is_some_and(|node| self.is_empty(node)));
        if removed.is_ok() {
            self.unlink((dir, name));
        }
    }

    fn rename(&mut self, dir: u8, name: u8, to_dir: u8, to: u8) {
        let ((dir, ino), (to_dir, to_ino)) = (self.dir(dir), self.dir(to_dir));
        let (from, new) = ([b'a' + name], [b'a' + to]);
        let tables = self.volume.lock_names(&[(ino, &from), (to_ino, &new)]);
        let moved = tables.expect("the index is there").move_link(ino, &from, to_ino, &new);
        let Some(node) = self.model.entries.get(&(dir, name)).copied() else {
            assert!(moved.is_err());
            return;
        };
        let target = self.model.entries.get(&(to_dir, to)).copied();
        let fits = target.is_none_or(|target| {
            target == node || (self.is_dir(target) == self.is_dir(node) && self.is_empty(target))
        });
        let allowed = fits && !(self.is_dir(node) && self.is_below(to_dir, node));
        assert_eq!(moved.is_ok(), allowed, "{node} over {target:?}");
        if allowed && target != Some(node) {
            self.unlink((to_dir, to));
            self.model.entries.remove(&(dir, name));
            self.model.entries.insert((to_dir, to), node);
        }
    }

    fn body(&mut self, step: Step) {
        let (Step::Write { dir, name, .. }
        | Step::Truncate { dir, name, .. }
        | Step::Punch { dir, name, .. }
        | Step::Copy { dir, name, .. }) = step
        else {
            unreachable!("only bodies come here")
        };
        let Some((node, ino)) = self.file_at(dir, name) else { return };
        let target = if let Step::Copy { to, .. } = step { self.file_at(dir, to) } else { None };
        let mut bytes = self.model.files[&node].clone();
        match step {
            Step::Write { offset, len, byte, .. } => {
                let (offset, len) = (usize::from(offset), len as usize);
                self.volume.write(ino, offset as u64, &vec![byte; len]).expect("room");
                bytes.resize(bytes.len().max(offset + len), 0);
                bytes[offset..offset + len].fill(byte);
            }
            Step::Truncate { size, .. } => {
                self.volume.truncate(ino, u64::from(size)).expect("there");
                bytes.resize(usize::from(size), 0);
            }
            Step::Punch { offset, len, .. } => {
                self.volume
                    .preallocate(ino, u64::from(offset), u64::from(len), Preallocate::Punch)
                    .expect("there");
                let end = bytes.len().min(usize::from(offset) + usize::from(len));
                if usize::from(offset) < end {
                    bytes[usize::from(offset)..end].fill(0);
                }
            }
            Step::Copy { offset, len, .. } => {
                let Some((to, to_ino)) = target.filter(|(to, _)| *to != node) else { return };
                let (from, len) = (usize::from(offset), usize::from(len));
                let part = bytes.get(from..bytes.len().min(from + len)).unwrap_or_default().to_vec();
                let copied = self.volume.copy_range(ino, from as u64, to_ino, 7, len as u64);
                assert_eq!(copied, Ok(part.len() as u64));
                let other = self.model.files.get_mut(&to).expect("live");
                if !part.is_empty() {
                    other.resize(other.len().max(7 + part.len()), 0);
                    other[7..7 + part.len()].copy_from_slice(&part);
                }
                return;
            }
            _ => unreachable!("only bodies come here"),
        }
        self.model.files.insert(node, bytes);
    }

    /// After a crash the volume must show one of the states since the last sync.
    fn crash(&mut self, seed: u64) {
        self.rig = self.rig.on(self.rig.disk.cut(self.rig.disk.operations(), seed));
        // One at a time: the index belongs to whoever has it open.
        self.volume = Volume::in_memory(0, 0, Box::new(self.rig.clock.clone()));
        let (volume, recovery) = self.rig.open_reporting();
        assert!(recovery.damaged_segments.is_empty() && recovery.damaged_files.is_empty(), "{recovery:?}");
        self.volume = volume;
        let found = tree(&self.volume);
        let state = self.history.iter().rev().chain([&self.model]).find(|model| shape(model) == found);
        self.model = state.unwrap_or_else(|| panic!("a state that never was: {:?}", found.keys())).clone();
        self.history.clear();
    }

    fn check(&self) {
        assert_eq!(tree(&self.volume), shape(&self.model));
    }
}

/// Cuts every body into its record, when all are small enough for that.
fn cut_small(volume: &Arc<Volume>) {
    let small = {
        let tables = volume.lock();
        tables.uncut.iter().all(|ino| tables.attr(*ino).is_some_and(|attr| attr.size <= 2_048))
    };
    if small {
        cut_all(volume);
    }
}

/// Paths to contents, `None` for directories, with the first path of the same node: names that share a
/// file show as that.
type Shape = BTreeMap<Vec<u8>, (Option<Vec<u8>>, Vec<u8>)>;

/// A shape from paths, nodes and contents.
fn class(found: BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)>) -> Shape {
    let mut first = BTreeMap::new();
    let named = found.into_iter().map(|(path, (node, bytes))| {
        let first: &Vec<u8> = first.entry(node).or_insert_with(|| path.clone());
        (path, (bytes, first.clone()))
    });
    named.collect()
}

fn shape(model: &Model) -> Shape {
    let mut found = BTreeMap::new();
    let mut dirs = vec![(0, Vec::new())];
    while let Some((dir, path)) = dirs.pop() {
        for ((_, name), node) in model.entries.range((dir, 0)..=(dir, u8::MAX)) {
            let path = [&path[..], &[b'/', b'a' + name]].concat();
            if model.dirs.contains_key(node) {
                dirs.push((*node, path.clone()));
            }
            found.insert(path, (u64::from(*node), model.files.get(node).cloned()));
        }
    }
    class(found)
}

fn tree(volume: &Arc<Volume>) -> Shape {
    let mut found = BTreeMap::new();
    let mut dirs = vec![(ROOT, Vec::new())];
    while let Some((dir, path)) = dirs.pop() {
        for name in names(volume, dir) {
            let ino = child(volume, dir, name.as_bytes()).expect("listed");
            let path = [&path[..], b"/", name.as_bytes()].concat();
            if volume.lock_nodes(&[ino]).expect("the index is there").kind(ino) == Some(Kind::Dir) {
                dirs.push((ino, path.clone()));
                found.insert(path, (ino, None));
            } else {
                found.insert(path, (ino, Some(read(volume, ino).expect("local"))));
            }
        }
    }
    class(found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_volume_does_what_a_map_of_bytes_does_through_flushes_and_crashes(
        steps in proptest::collection::vec(steps(), 1..60), has_index in any::<bool>(),
    ) {
        let mut pair = Pair::new(has_index);
        for step in steps {
            pair.step(step);
            pair.check();
        }
    }
}
