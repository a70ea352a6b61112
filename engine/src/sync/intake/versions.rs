//! Versions on their way: fetched once, opened, their chunks near or brought.

use super::{Ask, Context, Halt, Intake, Lane, Source};
use crate::RemoteVersion;
use crate::sync::limits::{BRING_BYTES_MAX, BRING_VERSIONS, SOURCE_PAUSE_MS};
use crate::sync::plan::Named;
use crate::sync::state::Deferred;
use freehold_api::bulk::{PushVersion, VersionItem, VersionState};
use freehold_api::limits::VERSIONS_MAX;
use freehold_crypto::OpenError;
use freehold_model::{RecordId, VersionHash};
use freehold_vault::record::Record;
use freehold_vault::{Body, Chunked};
use std::collections::BTreeSet;

impl Intake {
    /// The next question about versions to a source: once its commits are read, so that a version
    /// which a later commit replaces is never fetched.
    pub(super) fn fetching(&mut self, source: Source, now_ms: u64) -> Option<Ask> {
        let lane = self.lanes.get_mut(&source)?;
        let has_more = lane.is_reading || lane.wants_commits || lane.wants_log;
        let may_wait = (has_more || now_ms < lane.paused_until) && !lane.is_halted;
        if may_wait || !lane.fetching.is_empty() || self.plan.is_done() {
            return None;
        }
        let may_have = &lane.may_have;
        let hashes = self.plan.take(VERSIONS_MAX, |version| may_have.contains(version));
        if hashes.is_empty() {
            return None;
        }
        lane.fetching = hashes.iter().copied().collect();
        Some(Ask::Versions { from: source, hashes })
    }

    /// Takes in a source's answer about versions: one item for each of a prefix of those asked for.
    ///
    /// # Errors
    /// [`Halt::NoKey`]: one is sealed under a key that is not here; it is wanted again.
    pub(crate) fn versions(
        &mut self,
        ctx: &Context<'_>,
        from: Source,
        asked: &[VersionHash],
        items: Vec<VersionItem>,
    ) -> Result<(), Halt> {
        let lane = self.lanes.entry(from).or_default();
        asked.iter().for_each(|version| {
            lane.fetching.remove(version);
        });
        if items.is_empty() {
            lane.paused_until = ctx.now_ms + SOURCE_PAUSE_MS;
        }
        self.give_back(asked.get(items.len()..).unwrap_or_default().iter().copied());
        for (at, (item, asked_for)) in items.into_iter().zip(asked).enumerate() {
            if item.hash != *asked_for {
                self.lacks(from, asked_for);
                return Ok(());
            }
            if self.version(ctx, from, item).is_err() {
                self.give_back(asked.get(at..).unwrap_or_default().iter().copied());
                if let Some(lane) = self.lanes.get_mut(&from) {
                    lane.paused_until = ctx.now_ms + SOURCE_PAUSE_MS;
                    lane.wants_log = true;
                }
                return Err(Halt::NoKey);
            }
        }
        Ok(())
    }

    /// Takes in versions that came along with commits. Those nothing names are left out.
    ///
    /// # Errors
    /// [`Halt::NoKey`] as [`Self::versions`].
    pub(crate) fn told_versions(
        &mut self,
        ctx: &Context<'_>,
        from: Source,
        versions: Vec<PushVersion>,
    ) -> Result<(), Halt> {
        for PushVersion { hash, ciphertext, .. } in versions {
            if self.plan.take(1, |wanted| *wanted == hash).is_empty() {
                continue;
            }
            let item = VersionItem { hash, state: VersionState::Unplaced, ciphertext };
            if self.version(ctx, from, item).is_err() {
                self.give_back([hash].into_iter());
                return Err(Halt::NoKey);
            }
        }
        Ok(())
    }

    /// Versions that waited at the last stop, or that nobody has, are looked for among those kept before a
    /// stop.
    pub(super) fn kept_before(&mut self) -> Option<Ask> {
        let next = self.perhaps_kept.len().min(VERSIONS_MAX);
        (next > 0).then(|| Ask::Kept { hashes: self.perhaps_kept.drain(..next).collect() })
    }

    /// Takes in versions that were kept, verified, before a stop.
    ///
    /// # Errors
    /// [`Halt::NoKey`] as [`Self::versions`].
    pub(crate) fn kept(&mut self, ctx: &Context<'_>, kept: Vec<PushVersion>) -> Result<(), Halt> {
        for PushVersion { hash, ciphertext, .. } in kept {
            let waiting = self.state.deferred.get(&hash).cloned().filter(|_| !self.is_open(&hash));
            let Some(Deferred { record, author, supersedes }) = waiting else { continue };
            self.plan.name(hash, Named { record, author, supersedes });
            // Also where a later one replaces it: nobody may have that.
            self.plan.take(1, |wanted| *wanted == hash);
            let item = VersionItem { hash, state: VersionState::Unplaced, ciphertext };
            self.version(ctx, Source::Server, item).map_err(|_| Halt::NoKey)?;
        }
        Ok(())
    }

    fn version(&mut self, ctx: &Context<'_>, from: Source, item: VersionItem) -> Result<(), OpenError> {
        let hash = item.hash;
        let Some(Named { record: id, supersedes, .. }) = self.plan.named(&hash).cloned() else {
            return Ok(());
        };
        if item.state == VersionState::Unknown {
            self.lacks(from, &hash);
            return Ok(());
        }
        if blake3::hash(&item.ciphertext).as_bytes() != hash.as_bytes() {
            // Whoever delivers other bytes says nothing about the version: it is wanted still.
            self.refused += 1;
            self.lacks(from, &hash);
            return Ok(());
        }
        let record = match open(ctx, &item, &id) {
            Ok(record) => record,
            Err(OpenError::Refused) => {
                self.refused += 1;
                self.state.deferred.remove(&hash);
                return Ok(());
            }
            Err(error @ OpenError::UnknownGeneration(_)) => return Err(error),
        };
        let contents: Vec<Chunked> = chunked(&record).cloned().collect();
        let refs: BTreeSet<_> = contents.iter().map(|content| content.root).collect();
        self.unmerged_bytes += item.ciphertext.len();
        self.keep.versions.push(PushVersion {
            record: id,
            hash,
            ciphertext: item.ciphertext,
            refs: refs.into_iter().collect(),
        });
        let remote = RemoteVersion { version: hash, supersedes, record };
        if item.state == VersionState::Placed || contents.is_empty() {
            self.is_ready(remote);
        } else {
            self.defer(&hash);
            if contents.iter().map(|content| content.size).sum::<u64>() <= BRING_BYTES_MAX {
                self.bring.insert(hash, (remote, contents));
            }
        }
        Ok(())
    }

    /// A source does not have a version after all.
    fn lacks(&mut self, source: Source, version: &VersionHash) {
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.may_have.remove(version);
        }
        self.give_back([*version].into_iter());
    }

    /// Wants versions again that were given out.
    pub(super) fn give_back(&mut self, versions: impl Iterator<Item = VersionHash>) {
        self.plan.put_back(&versions.collect::<Vec<_>>());
    }

    /// Remembers a version that cannot be shown yet, and shows what it replaces meanwhile.
    fn defer(&mut self, version: &VersionHash) {
        let Some(Named { record, author, supersedes }) = self.plan.named(version).cloned() else { return };
        self.is_news |=
            self.state.deferred.insert(*version, Deferred { record, author, supersedes }).is_none();
        self.plan.set_aside(version);
    }

    /// What no source may have is put aside until one comes.
    pub(super) fn defer_what_nobody_has(&mut self) {
        if self.lanes.values().any(Lane::may_learn) {
            return;
        }
        let lanes = &self.lanes;
        let nobody = |version: &VersionHash| !lanes.values().any(|lane| lane.may_have.contains(version));
        for version in self.plan.take(usize::MAX, nobody) {
            if !self.state.deferred.contains_key(&version) {
                self.perhaps_kept.push(version);
            }
            self.defer(&version);
        }
    }

    /// The next contents to bring here.
    pub(super) fn bringing(&mut self) -> Option<Ask> {
        if self.bring.is_empty() || !self.bringing.is_empty() {
            return None;
        }
        let mut wanted = Vec::new();
        while wanted.len() < BRING_VERSIONS
            && let Some((version, (remote, contents))) = self.bring.pop_first()
        {
            wanted.push((version, contents));
            self.bringing.insert(version, remote);
        }
        Some(Ask::Bring { wanted })
    }

    /// Chunks were brought, or not: of these versions everything is here.
    pub(crate) fn brought(&mut self, here: &BTreeSet<VersionHash>) {
        for (version, remote) in std::mem::take(&mut self.bringing) {
            if here.contains(&version) {
                self.is_ready(remote);
            }
        }
    }
}

impl Lane {
    /// Whether it may come to have more than is known of it.
    const fn may_learn(&self) -> bool {
        self.is_reading || self.wants_heads
    }
}

/// Opens one version, the very bytes that were named, and checks that it is of the record named.
fn open(ctx: &Context<'_>, item: &VersionItem, id: &RecordId) -> Result<Record, OpenError> {
    let plain = ctx.keyring.open_record(id, &item.ciphertext)?;
    let record = Record::from_bytes(&plain).map_err(|_| OpenError::Refused)?;
    let is_here = ctx.keyring.record_id(&record.file()) == *id;
    if is_here { Ok(record) } else { Err(OpenError::Refused) }
}

/// The contents of a record that are in chunks.
fn chunked(record: &Record) -> impl Iterator<Item = &Chunked> {
    record.contents().iter().filter_map(|content| match &content.body {
        Body::Chunked(chunked) => Some(chunked),
        Body::Inline(_) => None,
    })
}
