//! What a removed device signed after its cut, where this device had merged it before it knew.
//!
//! A removal cuts a device's chain at what the remover had seen of it. Whoever hears of it puts the later
//! commits aside. A device that had merged some of them in good faith cannot take them apart again: what
//! its records say now is its own state too. So it writes those records once more, as they are, under its
//! own name, and everybody has them. With that every device shows the same, which the simulation holds
//! it to; and nobody has to be asked for commits that the server refuses (docs/adr/0020).
//!
//! It is done whenever the cuts change, and after every start, because it leaves no trace of being done
//! but the records themselves.

use super::local::Local;
use super::state::{Aside, SyncState};
use super::{Parts, SyncError, blocking};
use crate::FsError;
use crate::cut::refs::whole_manifest_refs;
use crate::history::ChainPlace;
use crate::sync::limits::ANSWER_COMMIT_BYTES;
use freehold_api::device_peer::After;
use freehold_api::limits::PAGE_COMMITS_MAX;
use freehold_model::{DeviceId, VaultId, VersionHash};
use freehold_trust::account_log::AccountState;
use freehold_trust::commit::{Commit, CommitEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where the chains of removed devices are cut.
pub(crate) type Cuts = BTreeMap<DeviceId, BTreeMap<(VaultId, u32), u64>>;

/// A commit after the cut.
#[derive(Debug)]
pub(crate) struct LateCommit {
    pub(crate) place: ChainPlace,
    pub(crate) versions: BTreeSet<VersionHash>,
}

/// Commits that were put aside and count after all.
#[derive(Debug)]
pub(crate) struct Readmitted {
    pub(crate) device: DeviceId,
    /// What each of them names.
    pub(crate) commits: Vec<Vec<CommitEntry>>,
    /// What is still aside.
    pub(crate) rest: Option<Aside>,
}

/// What the cuts come to.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) late: Vec<LateCommit>,
    pub(crate) readmitted: Vec<Readmitted>,
}

/// The cuts of an account.
pub(crate) fn cuts(account: &AccountState) -> Cuts {
    let revoked =
        account.devices().iter().filter_map(|(device, entry)| Some((device, entry.revoked.as_ref()?)));
    revoked.map(|(device, revoked)| (*device, revoked.cuts.clone())).collect()
}

impl Parts {
    /// Holds what was followed to the cuts, and makes what was merged of late commits this device's own;
    /// nothing may be merged meanwhile. The contents are brought to the nodes from here.
    pub(crate) async fn judge_late(
        self: Arc<Self>,
        account: Arc<AccountState>,
        state: SyncState,
    ) -> Result<Judged, SyncError> {
        blocking(move || {
            let judged = self.local.judge_late(&account, &state)?;
            let versions = judged.late_versions();
            let _awake = self.volume.wake_showing(&versions)?;
            // Before the records are due: the commit that carries them carries the lists of what is uploaded.
            let contents = self.volume.lock().contents_shown_of(&versions);
            for content in contents {
                let lists = whole_manifest_refs(&self.cache, &content).unwrap_or_default();
                let named = lists.iter().flat_map(|list| list.ids.iter().copied().chain([list.node]));
                self.upload_for_others(named.collect());
            }
            self.local.take_over(&versions)?;
            Ok(judged)
        })
        .await
    }
}

impl Judged {
    /// The versions of every late commit.
    pub(crate) fn late_versions(&self) -> BTreeSet<VersionHash> {
        self.late.iter().flat_map(|commit| commit.versions.iter().copied()).collect()
    }
}

impl Local {
    /// Which kept commits do not count by this account, and which that were put aside do. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn judge_late(&self, account: &AccountState, state: &SyncState) -> Result<Judged, SyncError> {
        let mut judged = Judged::default();
        for (device, cuts) in cuts(account).iter().filter(|(device, _)| **device != self.device) {
            // Lives before the first that was cut count whole.
            let first = cuts.range((self.vault, 0)..=(self.vault, u32::MAX)).next();
            let (incarnation, seq) = first.map_or((0, 0), |((_, life), seq)| (*life, *seq));
            self.each_commit(After { device: *device, incarnation, seq }, |place, commit| {
                if account.is_late(device, self.vault, place.incarnation, place.seq) {
                    let versions = commit.entries().iter().map(|entry| entry.version).collect();
                    judged.late.push(LateCommit { place, versions });
                }
                true
            })?;
        }
        for (device, aside) in &state.aside {
            judged.readmitted.extend(self.readmitted(account, *device, *aside)?);
        }
        Ok(judged)
    }

    fn readmitted(
        &self,
        account: &AccountState,
        device: DeviceId,
        aside: Aside,
    ) -> Result<Option<Readmitted>, SyncError> {
        let is_late = |incarnation, seq| account.is_late(&device, self.vault, incarnation, seq);
        if is_late(aside.incarnation, aside.seq) {
            return Ok(None);
        }
        let mut readmitted = Readmitted { device, commits: Vec::new(), rest: None };
        let after = After { device, incarnation: aside.incarnation, seq: aside.seq.saturating_sub(1) };
        self.each_commit(after, |place, commit| {
            if is_late(place.incarnation, place.seq) {
                let ChainPlace { incarnation, seq, .. } = place;
                let commits = aside.commits.saturating_sub(readmitted.commits.len() as u64);
                readmitted.rest = Some(Aside { incarnation, seq, commits });
            } else {
                readmitted.commits.push(commit.entries().to_vec());
            }
            readmitted.rest.is_none()
        })?;
        Ok(Some(readmitted))
    }

    /// Hands every kept commit of a chain after a place on, until told to stop.
    fn each_commit(
        &self,
        mut after: After,
        mut take: impl FnMut(ChainPlace, &Commit) -> bool,
    ) -> Result<(), SyncError> {
        loop {
            let (page, has_more) =
                self.history.commits_after(&[after], PAGE_COMMITS_MAX, ANSWER_COMMIT_BYTES)?;
            for bytes in page {
                let Ok(commit) = Commit::from_bytes(&bytes) else { return Ok(()) };
                let header = commit.header();
                let (device, incarnation, seq) = (header.device, header.incarnation, header.seq);
                after = After { device, incarnation, seq };
                if !take(ChainPlace { device, incarnation, seq }, &commit) {
                    return Ok(());
                }
            }
            if !has_more {
                return Ok(());
            }
        }
    }

    /// Makes what was merged of late versions this device's own. Deletions among them that wait for a
    /// person are forgotten. Those that show the versions must be awake. Blocks.
    ///
    /// # Errors
    /// `Io` when a row cannot be read; nothing was done then.
    pub(crate) fn take_over(&self, late: &BTreeSet<VersionHash>) -> Result<(), FsError> {
        if late.is_empty() {
            return Ok(());
        }
        let mut brake = self.brake.lock();
        let _awake = self.volume.wake_concerned(&brake.held().collect::<Vec<_>>())?;
        let meta = {
            let mut tables = self.volume.lock();
            tables.take_over(late);
            brake.disown(&tables, late)
        };
        self.volume.set_meta(meta);
        Ok(())
    }
}
