//! Three devices at random work over one log of commits: in the end all show the same tree.

use super::remote::{cut_all, version_of};
use crate::testing::{Rig, child, file, names, read};
use crate::{Ino, Kind, MetaKey, NewNode, ROOT, RemoteVersion, SignedCommit, TablesGuard, Volume};
use freehold_model::CommitHash;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create { dir: u8, name: u8 },
    MakeDir { dir: u8, name: u8 },
    Link { dir: u8, name: u8, to_dir: u8, to: u8 },
    Remove { dir: u8, name: u8 },
    Move { dir: u8, name: u8, to_dir: u8, to: u8 },
    Write { dir: u8, name: u8, byte: u8 },
    Open { dir: u8, name: u8 },
    Push,
    Pull,
    Crash { seed: u64 },
}

fn steps() -> impl Strategy<Value = (usize, Step)> {
    let place = || (0..4_u8, 0..3_u8);
    let step = prop_oneof![
        4 => place().prop_map(|(dir, name)| Step::Create { dir, name }),
        3 => place().prop_map(|(dir, name)| Step::MakeDir { dir, name }),
        1 => (place(), place()).prop_map(|((dir, name), (to_dir, to))| Step::Link { dir, name, to_dir, to }),
        2 => place().prop_map(|(dir, name)| Step::Remove { dir, name }),
        4 => (place(), place()).prop_map(|((dir, name), (to_dir, to))| Step::Move { dir, name, to_dir, to }),
        5 => (place(), any::<u8>()).prop_map(|((dir, name), byte)| Step::Write { dir, name, byte }),
        1 => place().prop_map(|(dir, name)| Step::Open { dir, name }),
        3 => Just(Step::Push),
        4 => Just(Step::Pull),
        1 => (0..u64::MAX).prop_map(|seed| Step::Crash { seed }),
    ];
    (0..3_usize, step)
}

/// Every commit, in the order a server would number them.
#[derive(Default)]
struct Log(Vec<Vec<RemoteVersion>>);

struct Device {
    rig: Rig,
    volume: Arc<Volume>,
    /// Where the index is, of devices that have one: their files sleep.
    _dir: tempfile::TempDir,
}

impl Device {
    fn new(number: u8) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let index = (number != 1).then(|| dir.path().join("index.db"));
        let rig = Rig { index, ..Rig::device(number) };
        let volume = rig.open();
        Self { rig, volume, _dir: dir }
    }

    /// The tables, with what stands at a name awake.
    fn at(&self, dir: Ino, name: &[u8]) -> TablesGuard<'_> {
        self.volume.lock_names(&[(dir, name)]).expect("the index is there")
    }

    /// The n-th directory this device shows.
    fn dir(&self, n: u8) -> Ino {
        let mut dirs = vec![ROOT];
        let mut at = 0;
        while let Some(dir) = dirs.get(at).copied() {
            for name in names(&self.volume, dir) {
                let tables = self.at(dir, name.as_bytes());
                let ino = tables.child(dir, name.as_bytes()).expect("listed");
                if tables.kind(ino) == Some(Kind::Dir) {
                    dirs.push(ino);
                }
            }
            at += 1;
        }
        dirs[usize::from(n) % dirs.len()]
    }

    /// Steps that make no sense on what this device shows are refused, which is fine.
    fn step(&mut self, step: Step, log: &mut Log) {
        let key = |name: u8| [b'a' + name];
        match step {
            Step::Create { dir, name } => {
                let dir = self.dir(dir);
                drop(self.volume.lock().insert(dir, &key(name), file()));
            }
            Step::MakeDir { dir, name } => {
                let new = NewNode { kind: Kind::Dir, ..file() };
                let dir = self.dir(dir);
                drop(self.volume.lock().insert(dir, &key(name), new));
            }
            Step::Link { dir, name, to_dir, to } => {
                let (dir, to_dir) = (self.dir(dir), self.dir(to_dir));
                let mut tables = self.at(dir, &key(name));
                if let Some(ino) = tables.child(dir, &key(name)) {
                    drop(tables.add_link(ino, to_dir, &key(to)));
                }
            }
            Step::Remove { dir, name } => {
                let dir = self.dir(dir);
                drop(self.at(dir, &key(name)).remove_link(dir, &key(name)));
            }
            Step::Move { dir, name, to_dir, to } => {
                let (dir, to_dir) = (self.dir(dir), self.dir(to_dir));
                let (from, to) = (key(name), key(to));
                let tables = self.volume.lock_names(&[(dir, &from), (to_dir, &to)]);
                drop(tables.expect("the index is there").move_link(dir, &from, to_dir, &to));
            }
            Step::Write { dir, name, byte } => {
                let dir = self.dir(dir);
                let ino = child(&self.volume, dir, &key(name));
                if let Some(ino) = ino {
                    drop(self.volume.write(ino, u64::from(byte % 4), &[byte; 3]));
                }
            }
            Step::Open { dir, name } => {
                let dir = self.dir(dir);
                let mut tables = self.at(dir, &key(name));
                if let Some(ino) = tables.child(dir, &key(name)) {
                    tables.remember(ino, 1);
                }
            }
            Step::Push => self.push(log),
            Step::Pull => self.pull(log),
            Step::Crash { seed } => {
                self.rig = self.rig.on(self.rig.disk.cut(self.rig.disk.operations(), seed));
                // One at a time: the index belongs to whoever has it open.
                self.volume = Volume::in_memory(0, 0, Box::new(self.rig.clock.clone()));
                let (volume, recovery) = self.rig.open_reporting();
                assert_eq!(recovery.damaged_files, Vec::<Ino>::new());
                self.volume = volume;
            }
        }
        self.check_links();
    }

    fn push(&self, log: &mut Log) {
        cut_all(&self.volume);
        while let Some(batch) = self.volume.take_batch(3, 1 << 20) {
            let versions: Vec<_> =
                batch.records.iter().map(|record| (record.file, version_of(&record.record))).collect();
            let hash = CommitHash::from_bytes(*blake3::hash(&(log.0.len() as u64).to_be_bytes()).as_bytes());
            let signed =
                SignedCommit { hash, commit: vec![1], payload: Vec::new(), versions: versions.clone() };
            self.volume.commit_written(&batch, signed, Vec::new()).expect("a healthy disk");
            let remote = batch.records.iter().zip(&versions).map(|(record, (_, version))| RemoteVersion {
                version: *version,
                supersedes: record.supersedes.clone(),
                record: record.record.clone(),
            });
            log.0.push(remote.collect());
            self.volume.commit_numbered(hash);
            self.volume
                .versions_placed(&versions.iter().map(|(_, version)| *version).collect::<Vec<_>>(), |_| {
                    false
                });
        }
    }

    /// Applies everything behind the cursor, one's own commits included, as a server delivers them.
    fn pull(&self, log: &Log) {
        let cursor = self
            .volume
            .meta(MetaKey::CURSOR)
            .map_or(0, |cursor| usize::from(cursor[0]) * 256 + usize::from(cursor[1]));
        for (index, commit) in log.0.iter().enumerate().skip(cursor) {
            let next = u16::try_from(index + 1).expect("short tests").to_be_bytes().to_vec();
            let outcome = self.volume.apply_remote(commit.clone(), vec![(MetaKey::CURSOR, next)]);
            assert_eq!(outcome.map(|outcome| outcome.refused), Ok(Vec::new()));
        }
        self.volume.show_again();
        // A crash may have forgotten the answers; the server gives them again.
        self.volume.outbox().iter().for_each(|entry| self.volume.commit_numbered(entry.hash));
        let versions: Vec<_> = log.0.iter().flatten().map(|remote| remote.version).collect();
        self.volume.versions_placed(&versions, |_| false);
    }

    /// Both sides of every name agree, and no directory is its own ancestor.
    fn check_links(&self) {
        let tables = self.volume.lock();
        let mut entries = 0;
        for node in tables.nodes.scan() {
            for (_, name, ino) in node.children.after(0) {
                let child = tables.node(ino).expect("an entry leads to a node");
                assert!(child.links.iter().any(|link| link.dir == node.ino && link.name == *name));
                entries += 1;
            }
        }
        let links: usize = tables.nodes.scan().map(|node| node.links.len()).sum();
        assert_eq!(links, entries);
        for node in tables.nodes.scan().filter(|node| node.is_dir() && !node.is_orphan()) {
            assert!(tables.is_ancestor(ROOT, node.ino));
        }
    }

    fn shape(&self) -> BTreeMap<String, (Option<Vec<u8>>, u32)> {
        let mut shape = BTreeMap::new();
        let mut dirs = vec![(ROOT, String::new())];
        while let Some((dir, path)) = dirs.pop() {
            for name in names(&self.volume, dir) {
                let ino = child(&self.volume, dir, name.as_bytes()).expect("listed");
                let attr = self.at(dir, name.as_bytes()).attr(ino).expect("listed");
                let path = format!("{path}/{name}");
                if attr.kind == Kind::Dir {
                    dirs.push((ino, path.clone()));
                    shape.insert(path, (None, attr.nlink));
                } else {
                    shape.insert(path, (Some(read(&self.volume, ino).expect("local")), attr.nlink));
                }
            }
        }
        shape
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn three_devices_end_with_the_same_tree_and_nothing_to_send(
        steps in proptest::collection::vec(steps(), 1..80),
    ) {
        let mut log = Log::default();
        let mut devices: Vec<Device> = (1..=3).map(Device::new).collect();
        for (device, step) in steps {
            devices[device].step(step, &mut log);
        }
        // Settling a conflict makes a write of its own, so a few rounds are allowed and no more.
        for _ in 0..8 {
            for device in &mut devices {
                device.step(Step::Push, &mut log);
                device.step(Step::Pull, &mut log);
            }
        }
        let shapes: Vec<_> = devices.iter().map(Device::shape).collect();
        prop_assert_eq!(&shapes[0], &shapes[1]);
        prop_assert_eq!(&shapes[0], &shapes[2]);
        for device in &devices {
            prop_assert_eq!(device.volume.pending(), crate::Pending::default());
        }
        // What is shown while running is what a fresh start shows.
        for device in &mut devices {
            device.volume.fsync(None).expect("a healthy disk");
            let before = device.shape();
            device.step(Step::Crash { seed: 0 }, &mut log);
            prop_assert_eq!(before, device.shape());
        }
    }
}
