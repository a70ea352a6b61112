//! Others' changes come here: read after the cursor, verified, fetched, opened, merged.
//!
//! Every commit is checked in full before anything of an answer is used: its author live in the
//! account log, its signature, its place in its author's chain, its body. Then only the versions
//! that are still heads are fetched. The cursor is stored with the last of them, so a crash in
//! between repeats work and loses nothing.

use super::chains::{Alarm, Place};
use super::limits::{APPLY_BYTES, APPLY_VERSIONS};
use super::plan::{FetchPlan, Named, hold_back, parents_first};
use super::state::{Deferred, SyncState};
use super::{Parts, SyncError, WAITING_FOR_DEVICE, blocking, evidence};
use crate::RemoteVersion;
use freehold_api::bulk::{NumberedCommit, VersionItem, VersionState, VersionsRequest};
use freehold_api::limits::{PAGE_COMMITS_MAX, VERSIONS_MAX};
use freehold_crypto::{CommitContext, OpenError};
use freehold_model::{RecordId, VersionHash};
use freehold_trust::account_log::{JudgeError, Verdict};
use freehold_trust::commit::Commit;
use freehold_vault::CommitBody;
use freehold_vault::record::Record;
use std::sync::Arc;

/// Problem: the server's history contradicts itself.
pub(crate) const HISTORY: &str = "server_history";
/// Problem: commits of a device that was removed from the account.
pub(crate) const REVOKED: &str = "revoked_device";
/// Problem: records that no honest device wrote.
pub(crate) const RECORDS: &str = "records_refused";
/// Problem: the server lacks versions that its commits name.
pub(crate) const MISSING: &str = "versions_missing";

/// What is asked of a pull besides what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PullOptions {
    /// Look again for versions that were put aside.
    pub(crate) retry_deferred: bool,
    /// Own commits are not in the tables: the index was lost.
    pub(crate) reload_own: bool,
}

/// A commit that passed every check.
struct Verified {
    commit: Commit,
    /// Whether its versions count.
    counts: bool,
}

impl Parts {
    /// Reads and applies everything up to the server's newest commit, and gives that number.
    ///
    /// # Errors
    /// [`SyncError`]; the state is as far as what was applied durably.
    pub(crate) async fn pull(
        self: &Arc<Self>,
        state: &mut SyncState,
        options: PullOptions,
    ) -> Result<u64, SyncError> {
        let mut next = state.clone();
        let mut plan = FetchPlan::default();
        let head = self.read_commits(&mut next, &mut plan, options).await?;
        let is_news = next.cursor != state.cursor || next.server_incarnation != state.server_incarnation;
        if options.retry_deferred {
            for (version, deferred) in &next.deferred {
                plan.name(*version, deferred.record, &deferred.supersedes);
            }
        }
        let worked = self.fetch_and_apply(&mut next, plan).await?;
        if is_news || worked {
            self.volume.set_meta(vec![next.meta()]);
            *state = next;
        }
        self.report_waiting(state);
        Ok(head)
    }

    /// Reads all pages after the cursor. Nothing is applied; the plan names what there is.
    async fn read_commits(
        self: &Arc<Self>,
        next: &mut SyncState,
        plan: &mut FetchPlan,
        options: PullOptions,
    ) -> Result<u64, SyncError> {
        let vault = self.vault;
        loop {
            let after = next.cursor;
            let page = self
                .server
                .ask(|client| async move { client.commits_after(&vault, after, PAGE_COMMITS_MAX).await });
            let page = page.await?;
            if page.server_incarnation != next.server_incarnation || page.head < after {
                if next.server_incarnation != 0 {
                    tracing::warn!("the server's numbering starts over; every commit is read again");
                }
                *plan = FetchPlan::default();
                let is_first_contact = next.server_incarnation == 0 && after == 0;
                next.restart(page.server_incarnation);
                if !is_first_contact {
                    continue;
                }
            }
            for item in &page.items {
                let verified = self.verify(next, item).await?;
                self.take_in(next, plan, verified, options);
                next.cursor = item.vault_seq;
            }
            if page.items.is_empty() || next.cursor >= page.head {
                return Ok(page.head);
            }
        }
    }

    /// Checks one commit in full and advances its chain.
    async fn verify(
        self: &Arc<Self>,
        next: &mut SyncState,
        item: &NumberedCommit,
    ) -> Result<Verified, SyncError> {
        let checked = self.check(next, item).await;
        if let Err(SyncError::Alarm(alarm)) = &checked {
            let is_news = self.problems.raise(
                HISTORY,
                format!("{alarm}; nothing of that answer was used"),
                "do not trust this server; the evidence lies beside the vault's local state",
            );
            if is_news {
                evidence::keep(&self.dir, &self.vault, &self.local_key, *alarm, item.vault_seq, &item.commit);
            }
        }
        checked
    }

    async fn check(
        self: &Arc<Self>,
        next: &mut SyncState,
        item: &NumberedCommit,
    ) -> Result<Verified, SyncError> {
        let commit = Commit::from_bytes(&item.commit).map_err(|_| Alarm::Malformed)?;
        let header = *commit.header();
        if header.vault != self.vault {
            return Err(Alarm::Malformed.into());
        }
        let cited = 0;
        let verdict = match self.members.state().judge(&commit, cited) {
            // The author knew of an entry, or is a device, that is not known here yet.
            Err(JudgeError::UnknownLogHead | JudgeError::UnknownDevice) => {
                self.members.refresh().await?;
                self.name_devices();
                self.members.state().judge(&commit, cited)
            }
            judged => judged,
        };
        let verdict = verdict.map_err(|_| Alarm::Foreign)?;
        let place = next.chains.place(&commit)?;
        self.know_generation(header.generation).await?;
        let context =
            CommitContext { device: header.device, incarnation: header.incarnation, seq: header.seq };
        let body = match self.keyring.open_commit_body(&context, commit.sealed_body()) {
            Ok(body) => CommitBody::from_bytes(&body).map_err(|_| Alarm::Malformed)?,
            Err(OpenError::UnknownGeneration(_)) => return Err(SyncError::NoKey),
            Err(OpenError::Refused) => return Err(Alarm::Malformed.into()),
        };
        if place == Place::Next {
            next.chains.advance(&header, body.covers);
        }
        Ok(Verified { commit, counts: verdict == Verdict::Accept })
    }

    /// Puts a verified commit's versions into the plan.
    fn take_in(&self, next: &mut SyncState, plan: &mut FetchPlan, verified: Verified, options: PullOptions) {
        let Verified { commit, counts } = verified;
        if !counts {
            self.problems.raise(
                REVOKED,
                "a device that was removed from the account has made changes after its removal; they are left out",
                "nothing to do; sign that device in again if it is yours",
            );
            return;
        }
        let header = commit.header();
        let is_own = header.device == self.device
            && !options.reload_own
            && self
                .chain_head()
                .is_some_and(|head| (header.incarnation, header.seq) <= (head.incarnation, head.seq));
        if is_own {
            plan.add_known(commit.entries())
        } else {
            plan.add(commit.entries())
        }
        for entry in commit.entries() {
            next.deferred.retain(|version, _| !entry.supersedes.contains(version) || !is_own);
        }
    }

    /// Fetches what the plan wants and merges it; whether anything changed.
    async fn fetch_and_apply(
        self: &Arc<Self>,
        next: &mut SyncState,
        mut plan: FetchPlan,
    ) -> Result<bool, SyncError> {
        let mut gathered: Vec<VersionItem> = Vec::new();
        let mut orphans: Vec<RemoteVersion> = Vec::new();
        let (mut bytes, mut worked) = (0, false);
        loop {
            let hashes = plan.take(VERSIONS_MAX);
            let is_end = hashes.is_empty();
            if !is_end {
                for item in self.fetch(&hashes, &mut plan).await? {
                    match item.state {
                        VersionState::Placed => {
                            bytes += item.ciphertext.len();
                            gathered.push(item);
                        }
                        VersionState::Unplaced | VersionState::Unknown => self.defer(next, &mut plan, &item),
                    }
                }
            }
            let is_due = is_end || bytes >= APPLY_BYTES || gathered.len() >= APPLY_VERSIONS;
            if is_due && !(gathered.is_empty() && orphans.is_empty()) {
                worked = true;
                bytes = 0;
                let items = std::mem::take(&mut gathered);
                orphans = self.apply(next, &plan, items, orphans, is_end).await?;
            }
            if is_end {
                return Ok(worked);
            }
        }
    }

    /// Asks for versions; those the answer had no room for are wanted again.
    async fn fetch(
        &self,
        hashes: &[VersionHash],
        plan: &mut FetchPlan,
    ) -> Result<Vec<VersionItem>, SyncError> {
        let (vault, request) = (self.vault, &VersionsRequest { hashes: hashes.to_vec() });
        let answer = self.server.ask(|client| async move { client.versions(&vault, request).await }).await?;
        plan.put_back(hashes.get(answer.items.len()..).unwrap_or_default());
        Ok(answer.items)
    }

    /// Remembers a version that cannot be shown yet, and shows what it replaces meanwhile.
    fn defer(&self, next: &mut SyncState, plan: &mut FetchPlan, item: &VersionItem) {
        let Some(named) = plan.named(&item.hash) else { return };
        let deferred = Deferred { record: named.record, supersedes: named.supersedes.clone() };
        next.deferred.insert(item.hash, deferred);
        plan.set_aside(&item.hash);
        if item.state == VersionState::Unknown {
            self.problems.raise(
                MISSING,
                "the server does not have changes that its own list names",
                "they come again when the device that made them connects; nothing is deleted here",
            );
        }
    }

    /// Opens versions and merges them. Those whose directory has not come yet are given back, unless
    /// it is the end: they would only show up in Lost and Found for a moment.
    async fn apply(
        self: &Arc<Self>,
        next: &mut SyncState,
        plan: &FetchPlan,
        items: Vec<VersionItem>,
        orphans: Vec<RemoteVersion>,
        is_end: bool,
    ) -> Result<Vec<RemoteVersion>, SyncError> {
        let mut sealed = Vec::with_capacity(items.len());
        for item in items {
            let Some(named) = plan.named(&item.hash) else { continue };
            next.deferred.remove(&item.hash);
            next.deferred.retain(|version, _| !named.supersedes.contains(version));
            sealed.push((item, named.clone()));
        }
        let parts = Arc::clone(self);
        blocking(move || {
            let mut versions = orphans;
            let mut refused = 0_usize;
            for (item, Named { record, supersedes }) in sealed {
                match parts.open(&item, &record) {
                    Ok(record) => versions.push(RemoteVersion { version: item.hash, supersedes, record }),
                    Err(OpenError::UnknownGeneration(_)) => return Err(SyncError::NoKey),
                    Err(OpenError::Refused) => refused += 1,
                }
            }
            let (ready, orphans) = if is_end {
                (parents_first(versions), Vec::new())
            } else {
                let tables = parts.volume.lock();
                hold_back(parents_first(versions), &|file| tables.by_file.contains_key(file))
            };
            refused += parts.volume.apply_remote(ready, Vec::new()).refused.len();
            if refused > 0 {
                parts.problems.raise(
                    RECORDS,
                    format!("{refused} changes could not be opened or belong elsewhere; they are left out"),
                    "the server or one of your devices is broken; see the log",
                );
            }
            Ok(orphans)
        })
        .await
    }

    /// Opens one version and checks that it is what the commit named.
    fn open(&self, item: &VersionItem, id: &RecordId) -> Result<Record, OpenError> {
        if blake3::hash(&item.ciphertext).as_bytes() != item.hash.as_bytes() {
            return Err(OpenError::Refused);
        }
        let plain = self.keyring.open_record(id, &item.ciphertext)?;
        let record = Record::from_bytes(&plain).map_err(|_| OpenError::Refused)?;
        let is_here = self.keyring.record_id(&record.file()) == *id;
        if is_here { Ok(record) } else { Err(OpenError::Refused) }
    }

    fn report_waiting(&self, state: &SyncState) {
        match state.deferred.len() {
            0 => {
                self.problems.clear(WAITING_FOR_DEVICE);
                self.problems.clear(MISSING);
            }
            count => {
                self.problems.raise(
                    WAITING_FOR_DEVICE,
                    format!("{count} changes of another device are not on the storage nodes yet"),
                    "they appear once that device has uploaded them; until then the versions before are shown",
                );
            }
        }
    }

    /// Tells the tables the names of devices, for conflict copies.
    pub(crate) fn name_devices(&self) {
        let mut tables = self.volume.lock();
        for (device, label) in self.members.labels() {
            tables.set_label(device, label);
        }
    }
}
