//! Which versions to fetch: from verified commits to the newest versions of each record.
//!
//! A version that a later commit of the same pass replaces is never fetched, so a fresh device loads
//! the newest state only. Versions whose chunks are not on enough nodes yet are put aside; then what
//! they replace is wanted instead, because that stays readable until its successor is placed.
//! Records come in the order in which they were first named, directories before what is in them.

use crate::RemoteVersion;
use freehold_model::{DeviceId, FileId, RecordId, VersionHash};
use freehold_trust::commit::CommitEntry;
use std::collections::{BTreeMap, BTreeSet};

/// One version named by a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its record.
    pub(crate) record: RecordId,
    /// The device that wrote it.
    pub(crate) author: DeviceId,
    /// The versions it replaces.
    pub(crate) supersedes: Vec<VersionHash>,
}

/// The versions named in one pass over commits, and which of them are wanted.
#[derive(Debug, Default)]
pub(crate) struct FetchPlan {
    named: BTreeMap<VersionHash, Named>,
    superseded: BTreeSet<VersionHash>,
    /// When each record was first named in this pass.
    order: BTreeMap<RecordId, u64>,
    wanted: BTreeSet<(u64, VersionHash)>,
}

impl FetchPlan {
    /// Takes in the entries of a device's next commit.
    pub(crate) fn add(&mut self, author: DeviceId, entries: &[CommitEntry]) {
        for CommitEntry { record, version, supersedes } in entries {
            let named = Named { record: *record, author, supersedes: supersedes.clone() };
            self.name(*version, named);
        }
    }

    /// Takes in one version, also one put aside in an earlier pass.
    pub(crate) fn name(&mut self, version: VersionHash, named: Named) {
        let next = self.order.len() as u64;
        let order = *self.order.entry(named.record).or_insert(next);
        for old in &named.supersedes {
            self.superseded.insert(*old);
            self.unwant(old);
        }
        self.named.insert(version, named);
        if !self.superseded.contains(&version) {
            self.wanted.insert((order, version));
        }
    }

    /// What a version was named as.
    pub(crate) fn named(&self, version: &VersionHash) -> Option<&Named> {
        self.named.get(version)
    }

    /// Up to `max` versions to fetch next, of those that may be; each is given once.
    pub(crate) fn take(&mut self, max: usize, may: impl Fn(&VersionHash) -> bool) -> Vec<VersionHash> {
        let next: Vec<(u64, VersionHash)> =
            self.wanted.iter().filter(|(_, version)| may(version)).copied().take(max).collect();
        next.iter().for_each(|entry| {
            self.wanted.remove(entry);
        });
        next.into_iter().map(|(_, version)| version).collect()
    }

    /// Forgets what was named: nothing of it is on its way any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Versions not given out.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = VersionHash> {
        self.wanted.iter().map(|(_, version)| *version)
    }

    /// Whether a version is still to be given out.
    pub(crate) fn wants(&self, version: &VersionHash) -> bool {
        self.order_of(version).is_some_and(|order| self.wanted.contains(&(order, *version)))
    }

    /// Whether nothing is left to give out.
    pub(crate) fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Wants versions that the last answer left out.
    pub(crate) fn put_back(&mut self, versions: &[VersionHash]) {
        for version in versions {
            if let Some(order) = self.order_of(version) {
                self.wanted.insert((order, *version));
            }
        }
    }

    /// The version cannot be shown yet: wants those it replaces, as far as they come in this pass.
    pub(crate) fn set_aside(&mut self, version: &VersionHash) {
        let Some(named) = self.named.get(version) else { return };
        let replaced = named.supersedes.clone();
        for old in &replaced {
            self.superseded.remove(old);
        }
        self.put_back(&replaced);
    }

    /// Forgets a version that does not count; what it replaces is wanted instead.
    pub(crate) fn disown(&mut self, version: &VersionHash) {
        self.unwant(version);
        self.set_aside(version);
        self.named.remove(version);
    }

    fn unwant(&mut self, version: &VersionHash) {
        if let Some(order) = self.order_of(version) {
            self.wanted.remove(&(order, *version));
        }
    }

    fn order_of(&self, version: &VersionHash) -> Option<u64> {
        self.order.get(&self.named.get(version)?.record).copied()
    }
}

/// A directory the record says it stands in.
fn parent(version: &RemoteVersion) -> Option<FileId> {
    let record = &version.record;
    let place = record.links().map(|link| link.place.parent).next();
    record.newest_parent().map(|edge| edge.parent).or(place)
}

/// Parts versions, ordered parents first, into those whose directories are known or come before
/// them, and those that must wait for theirs.
pub(crate) fn hold_back(
    versions: Vec<RemoteVersion>,
    is_known: &dyn Fn(&FileId) -> bool,
) -> (Vec<RemoteVersion>, Vec<RemoteVersion>) {
    let mut coming = BTreeSet::new();
    versions.into_iter().partition(|version| {
        let file = version.record.file();
        let ready = is_known(&file)
            || parent(version).is_none_or(|parent| is_known(&parent) || coming.contains(&parent));
        if ready {
            coming.insert(file);
        }
        ready
    })
}

/// Puts directories before what stands in them, so that everything finds its place at once.
pub(crate) fn parents_first(versions: Vec<RemoteVersion>) -> Vec<RemoteVersion> {
    let parents: BTreeMap<FileId, Option<FileId>> =
        versions.iter().map(|version| (version.record.file(), parent(version))).collect();
    let depth = |file: FileId| {
        let above = std::iter::successors(Some(file), |file| parents.get(file).copied().flatten());
        // A cycle of moves has no top; the bound ends the walk and the view rules decide.
        above.take(parents.len() + 1).count()
    };
    let mut ordered: Vec<(usize, RemoteVersion)> =
        versions.into_iter().map(|version| (depth(version.record.file()), version)).collect();
    ordered.sort_by_key(|(depth, _)| *depth);
    ordered.into_iter().map(|(_, version)| version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::{Dot, Hlc, Stamp};
    use freehold_vault::record::{NewNode, Owner, Place, ROOT, Record, Time};

    const AUTHOR: DeviceId = DeviceId::from_bytes([1; 16]);

    fn version(number: u8) -> VersionHash {
        VersionHash::from_bytes([number; 32])
    }

    fn entry(record: u8, new: u8, old: &[u8]) -> CommitEntry {
        CommitEntry {
            record: RecordId::from_bytes([record; 16]),
            version: version(new),
            supersedes: old.iter().map(|number| version(*number)).collect(),
        }
    }

    #[test]
    fn only_the_newest_versions_are_fetched_in_the_order_of_their_records() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(2, 10, &[])]);
        plan.add(AUTHOR, &[entry(1, 5, &[])]);
        plan.add(AUTHOR, &[entry(2, 99, &[10])]);
        assert_eq!(plan.take(10, |_| true), [version(99), version(5)]);
        assert_eq!(plan.take(10, |_| true), []);
    }

    #[test]
    fn concurrent_versions_are_both_fetched() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 10, &[])]);
        plan.add(AUTHOR, &[entry(1, 11, &[10])]);
        plan.add(AUTHOR, &[entry(1, 12, &[10])]);
        assert_eq!(plan.take(10, |_| true), [version(11), version(12)]);
    }

    #[test]
    fn a_version_replaced_before_it_arrives_is_not_fetched() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 11, &[10])]);
        plan.add(AUTHOR, &[entry(1, 10, &[])]);
        assert_eq!(plan.take(10, |_| true), [version(11)]);
    }

    #[test]
    fn only_what_a_source_may_have_is_given_out_for_it() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 10, &[]), entry(2, 20, &[])]);
        assert_eq!(plan.take(10, |wanted| *wanted == version(20)), [version(20)]);
        assert!(plan.wants(&version(10)) && !plan.wants(&version(20)) && !plan.is_done());
        assert_eq!(plan.take(10, |_| true), [version(10)]);
        assert!(plan.is_done());
    }

    #[test]
    fn an_unplaced_version_makes_its_predecessor_wanted() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 10, &[])]);
        plan.add(AUTHOR, &[entry(1, 11, &[10])]);
        plan.add(AUTHOR, &[entry(1, 12, &[11])]);
        assert_eq!(plan.take(10, |_| true), [version(12)]);
        plan.set_aside(&version(12));
        assert_eq!(plan.take(10, |_| true), [version(11)]);
        plan.set_aside(&version(11));
        assert_eq!(plan.take(10, |_| true), [version(10)]);
        plan.set_aside(&version(10));
        assert_eq!(plan.take(10, |_| true), []);
    }

    #[test]
    fn what_a_version_put_aside_replaces_is_wanted_even_if_it_is_named_after_it() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 11, &[10])]);
        assert_eq!(plan.take(10, |_| true), [version(11)]);
        plan.set_aside(&version(11));
        plan.add(AUTHOR, &[entry(1, 10, &[])]);
        assert_eq!(plan.take(10, |_| true), [version(10)]);
    }

    #[test]
    fn a_version_that_does_not_count_leaves_what_it_replaces() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 10, &[])]);
        plan.add(AUTHOR, &[entry(1, 11, &[10])]);
        plan.add(AUTHOR, &[entry(1, 12, &[11])]);
        plan.disown(&version(11));
        plan.disown(&version(12));
        assert_eq!(plan.take(10, |_| true), [version(10)]);
        assert_eq!(plan.named(&version(12)), None);
    }

    #[test]
    fn a_short_answer_leaves_the_rest_wanted() {
        let mut plan = FetchPlan::default();
        plan.add(AUTHOR, &[entry(1, 10, &[]), entry(2, 20, &[]), entry(3, 30, &[])]);
        let asked = plan.take(2, |_| true);
        plan.put_back(&asked[1..]);
        assert_eq!(plan.take(10, |_| true), [version(20), version(30)]);
    }

    fn at(id: u8) -> FileId {
        FileId::from_bytes([id; 16])
    }

    fn dir(id: u8, parent: FileId) -> RemoteVersion {
        let new = NewNode { mode: 0o755, owner: Owner::default(), mtime: Time::default() };
        let dot = Dot { device: DeviceId::from_bytes([1; 16]), incarnation: 0, seq: 1 };
        let place = Place { parent, name: vec![b'a' + id] };
        let stamp = Stamp { hlc: Hlc(1), dot };
        let record =
            Record::new_dir(FileId::from_bytes([id; 16]), new, place, stamp).expect("a valid directory");
        RemoteVersion { version: version(id), supersedes: Vec::new(), record }
    }

    #[test]
    fn what_comes_before_its_directory_waits_for_it() {
        let versions =
            parents_first(vec![dir(3, at(2)), dir(2, at(9)), dir(5, ROOT), dir(6, at(5)), dir(7, at(4))]);
        let (ready, waiting) = hold_back(versions, &|file| *file == ROOT || *file == at(4));
        let ids = |versions: &[RemoteVersion]| -> BTreeSet<VersionHash> {
            versions.iter().map(|v| v.version).collect()
        };
        assert_eq!(ids(&ready), [5, 6, 7].into_iter().map(version).collect());
        assert_eq!(ids(&waiting), [2, 3].into_iter().map(version).collect());
    }

    #[test]
    fn directories_come_before_what_stands_in_them() {
        let mixed = vec![dir(3, at(2)), dir(1, ROOT), dir(5, at(6)), dir(2, at(1)), dir(6, at(5))];
        let order: Vec<VersionHash> = parents_first(mixed).into_iter().map(|found| found.version).collect();
        let position = |id: u8| order.iter().position(|found| *found == version(id));
        assert!(position(1) < position(2) && position(2) < position(3), "{order:?}");
        assert_eq!(order.len(), 5, "a cycle loses nothing");
    }
}
