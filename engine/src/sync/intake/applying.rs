//! Steps of merging: when the next one is due, the state stored with it, and what comes back from it.
//!
//! A step takes what is ready, what is to be kept for other devices, and the state behind both. None is
//! taken without a reason: versions that came back because their directory is not here wait for
//! something new, and after a failure there is a pause.

use super::{Application, Ask, Intake, Keep};
use crate::RemoteVersion;
use crate::sync::limits::{APPLY_BYTES, APPLY_VERSIONS, SOURCE_PAUSE_MS, STORED_UNFINISHED_MAX};
use crate::sync::state::{Deferred, SyncState};
use freehold_model::VersionHash;
use std::collections::BTreeSet;

impl Intake {
    /// A version can be merged.
    pub(super) fn is_ready(&mut self, version: RemoteVersion) {
        self.ready.push(version);
    }

    /// The next step of merging.
    pub(super) fn application(&mut self, now_ms: u64) -> Option<Ask> {
        if self.is_applying || now_ms < self.apply_not_before {
            return None;
        }
        let under_way = self.lanes.values().any(|lane| !lane.fetching.is_empty() || lane.is_reading);
        let is_much = self.ready.len() >= APPLY_VERSIONS || self.unmerged_bytes >= APPLY_BYTES;
        if under_way && !is_much {
            return None;
        }
        // Those that came back are merged whatever is missing once nothing more is on its way.
        let is_end = self.is_quiet_but_for_merging();
        let has_ready = self.ready.len() > self.came_back || (is_end && !self.ready.is_empty());
        if !has_ready && self.keep.is_empty() && !(self.is_news && self.storable().is_some()) {
            return None;
        }
        let versions = if has_ready { std::mem::take(&mut self.ready) } else { Vec::new() };
        Some(self.step(versions, is_end))
    }

    /// Whether everything that was followed and counts is kept and merged, nothing of it waiting.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_quiet() && self.keep.commits.is_empty() && self.state.deferred.is_empty()
    }

    /// The state to store: everything that was named is merged or listed in it, and every commit that it
    /// speaks of is kept. Commits that are not would never be asked for again, and others could not have them.
    pub(crate) fn storable(&self) -> Option<SyncState> {
        if !self.keep.commits.is_empty() {
            return None;
        }
        let mut open: BTreeSet<VersionHash> = self.plan.wanted().collect();
        open.extend(self.bring.keys().chain(self.bringing.keys()).copied());
        open.extend(self.lanes.values().flat_map(|lane| lane.fetching.iter().copied()));
        open.extend(self.ready.iter().map(|ready| ready.version));
        if open.len() > STORED_UNFINISHED_MAX {
            return None;
        }
        let mut state = self.state.clone();
        for version in open {
            // After a step that could not be kept, the plan no longer knows what comes back.
            let named = self.plan.named(&version)?;
            let (record, author) = (named.record, named.author);
            let supersedes = self.replaced(&named.supersedes).into_iter().collect();
            state.deferred.insert(version, Deferred { record, author, supersedes });
        }
        Some(state)
    }

    fn step(&mut self, versions: Vec<RemoteVersion>, is_end: bool) -> Ask {
        self.came_back = self.came_back.min(self.ready.len());
        self.unmerged_bytes = 0;
        self.applying = versions.iter().map(|version| version.version).collect();
        for version in &versions {
            self.state.deferred.remove(&version.version);
            self.replaced(&version.supersedes).iter().for_each(|old| {
                self.state.deferred.remove(old);
            });
        }
        // What is to be kept is kept before the state is stored.
        let keep = std::mem::take(&mut self.keep);
        let state = self.storable();
        self.is_news = state.is_none();
        if is_end {
            self.plan.forget();
            self.lanes.values_mut().for_each(|lane| lane.may_have.clear());
        }
        self.is_applying = true;
        Ask::Apply(Box::new(Application { versions, keep, state, is_end }))
    }

    /// Merging is done; what waits for its directory comes back. When nothing was kept or merged,
    /// `undone` is what was to be kept, and all of it is tried again after a pause.
    pub(crate) fn applied(&mut self, orphans: Vec<RemoteVersion>, undone: Option<Keep>, now_ms: u64) {
        self.is_applying = false;
        self.applying.clear();
        self.came_back = if undone.is_some() { 0 } else { orphans.len() };
        orphans.into_iter().for_each(|version| self.is_ready(version));
        if let Some(keep) = undone {
            self.apply_not_before = now_ms + SOURCE_PAUSE_MS;
            self.is_news = true;
            let newer = std::mem::replace(&mut self.keep, keep);
            self.keep.forget_numbers |= newer.forget_numbers;
            self.keep.commits.extend(newer.commits);
            self.keep.versions.extend(newer.versions);
            self.keep.numbered.extend(newer.numbered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ChainPlace, KeptCommit};
    use freehold_model::{CommitHash, DeviceId, Dot, FileId, Hlc, Stamp};
    use freehold_vault::record::{NewNode, Owner, Place, ROOT, Record, Time};

    fn named(id: u8) -> RemoteVersion {
        let new = NewNode { mode: 0o755, owner: Owner::default(), mtime: Time::default() };
        let dot = Dot { device: DeviceId::from_bytes([1; 16]), incarnation: 0, seq: 1 };
        let place = Place { parent: ROOT, name: vec![b'a' + id] };
        let record = Record::new_dir(FileId::from_bytes([id; 16]), new, place, Stamp { hlc: Hlc(1), dot });
        let record = record.expect("a valid directory");
        RemoteVersion { version: VersionHash::from_bytes([id; 32]), supersedes: Vec::new(), record }
    }

    fn applies(intake: &mut Intake, now_ms: u64) -> Option<usize> {
        match intake.application(now_ms)? {
            Ask::Apply(step) => Some(step.versions.len()),
            _ => None,
        }
    }

    #[test]
    fn what_came_back_for_its_directory_waits_for_something_new() {
        let mut intake = Intake::new(SyncState::default());
        let [child, parent, later] = [1, 2, 3].map(named);
        intake.bringing.insert(parent.version, parent);
        intake.is_ready(child.clone());
        assert_eq!(applies(&mut intake, 0), Some(1));
        intake.applied(vec![child.clone()], None, 0);
        assert_eq!(applies(&mut intake, 0), None, "its directory is still being brought");
        intake.is_ready(later);
        assert_eq!(applies(&mut intake, 0), Some(2));
        intake.applied(vec![child], None, 0);
        intake.bringing.clear();
        assert_eq!(applies(&mut intake, 0), Some(1), "nothing more is on its way");
        intake.applied(Vec::new(), None, 0);
        assert_eq!(applies(&mut intake, 0), None);
    }

    #[test]
    fn a_step_that_failed_comes_again_whole_after_a_pause() {
        let mut intake = Intake::new(SyncState::default());
        let version = named(1);
        intake.is_ready(version.clone());
        intake.keep.forget_numbers = true;
        assert_eq!(applies(&mut intake, 5), Some(1));
        intake.applied(vec![version], Some(Keep { forget_numbers: true, ..Keep::default() }), 5);
        assert_eq!(applies(&mut intake, 5 + SOURCE_PAUSE_MS - 1), None);
        let Some(Ask::Apply(step)) = intake.application(5 + SOURCE_PAUSE_MS) else { panic!("it is due") };
        assert!(step.versions.len() == 1 && step.keep.forget_numbers);
    }

    /// Found by the simulation (seed 22): after a crash the chain went on behind commits nobody could be given.
    #[test]
    fn a_state_is_stored_only_behind_the_commits_it_speaks_of() {
        let mut intake = Intake::new(SyncState::default());
        let place = ChainPlace { device: DeviceId::from_bytes([1; 16]), incarnation: 0, seq: 1 };
        let commit = KeptCommit { place, hash: CommitHash::default(), bytes: Vec::new(), numbered: true };
        intake.keep.commits.push(commit);
        assert_eq!(intake.storable(), None);
        let Some(Ask::Apply(step)) = intake.application(0) else { panic!("it is due") };
        assert!(step.keep.commits.len() == 1 && step.state.is_some());
        assert!(intake.storable().is_some());
    }

    #[test]
    fn a_state_that_cannot_be_stored_yet_is_no_reason_for_a_step() {
        let mut intake = Intake::new(SyncState::default());
        for number in 0..=STORED_UNFINISHED_MAX {
            let mut version = named(1);
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            version.version = VersionHash::from_bytes(hash);
            intake.bringing.insert(version.version, version);
        }
        intake.is_news = true;
        assert_eq!(applies(&mut intake, 0), None);
        intake.bringing.clear();
        assert_eq!(applies(&mut intake, 0), Some(0));
    }
}
