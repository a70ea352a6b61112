//! Merging what was verified: kept for others first, then into the tables, with the state behind it.

use super::brake::{HeldFiles, Sorted};
use super::intake::Application;
use super::limits::HISTORY;
use super::local::Local;
use super::plan::{hold_back, parents_first};
use super::{Parts, SyncError};
use crate::FsError;
use crate::RemoteVersion;
use crate::cut::refs::whole_manifest_refs;
use crate::history::{Keep, ManifestList};
use freehold_api::bulk::PushVersion;
use freehold_api::control::Decision;
use freehold_model::VersionHash;
use freehold_vault::Body;
use std::sync::Arc;

/// What became of a step.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Versions that wait for their directory; all of them when nothing was done.
    pub(crate) orphans: Vec<RemoteVersion>,
    /// Records that no honest device wrote.
    pub(crate) refused: usize,
    /// What was to be kept, when nothing was done.
    pub(crate) undone: Option<(Keep, SyncError)>,
    /// The step is gone: what it held is read again from where the stored state ends.
    pub(crate) is_lost: bool,
}

impl Parts {
    /// Does one step of merging, beside the runtime.
    pub(crate) async fn apply(&self, step: Application) -> Applied {
        let local = Arc::clone(&self.local);
        match tokio::task::spawn_blocking(move || local.apply(step)).await {
            Ok(applied) => applied,
            Err(error) => {
                tracing::error!(%error, "merging ended early");
                let error = SyncError::Internal("merging ended early");
                let undone = Some((Keep::default(), error));
                Applied { orphans: Vec::new(), refused: 0, undone, is_lost: true }
            }
        }
    }
}

impl Local {
    /// Does one step of merging. Blocks.
    pub(crate) fn apply(&self, step: Application) -> Applied {
        let Application { versions, keep, state, is_end } = step;
        // Of content that had to be brought first, the lists come later than the version itself.
        let lists = self.lists_of(&versions);
        if !keep.is_empty() || !lists.is_empty() {
            if let Err(error) = self.history.keep(&keep, &lists) {
                let undone = Some((keep, error.into()));
                return Applied { orphans: versions, refused: 0, undone, is_lost: false };
            }
            if let Err(error) = self.history.trim_now_and_then(HISTORY) {
                tracing::warn!(%error, "kept commits could not be trimmed");
            }
        }
        let (ready, orphans) = if is_end {
            (parents_first(versions), Vec::new())
        } else {
            let tables = self.volume.lock();
            hold_back(parents_first(versions), &|file| {
                tables.by_file.contains_key(file) || tables.asleep.has(file)
            })
        };
        // The state speaks of every version of this step, so it waits until none is left over.
        let meta = state.filter(|_| orphans.is_empty()).map(|state| state.meta());
        let mut brake = self.brake.lock();
        // Before anything is sorted: whatever fails leaves all as it was.
        let held = brake.is_touched(&ready).then(|| brake.held());
        let concerned: Vec<&RemoteVersion> = ready.iter().chain(held.into_iter().flatten()).collect();
        let _awake = match self.volume.wake_concerned(&concerned) {
            Ok(awake) => awake,
            Err(error) => {
                let versions = ready.into_iter().chain(orphans).collect();
                let undone = Some((Keep::default(), error.into()));
                return Applied { orphans: versions, refused: 0, undone, is_lost: false };
            }
        };
        let mut sorted = brake.sort(&self.volume.lock(), ready);
        sorted.meta.extend(meta);
        let outcome = self.volume.apply_remote(sorted.apply, sorted.meta).expect("all were woken");
        drop(brake);
        Applied { orphans, refused: outcome.refused.len(), undone: None, is_lost: false }
    }

    /// Those of these versions that are kept. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn kept(&self, versions: &[VersionHash]) -> Result<Vec<PushVersion>, SyncError> {
        let mut kept = Vec::new();
        for version in versions {
            kept.extend(self.history.version(version)?);
        }
        Ok(kept)
    }

    /// The held deletions: how many files they would take away here, by device.
    pub(crate) fn held_deletions(&self) -> Vec<HeldFiles> {
        self.brake.lock().held_files()
    }

    /// Ends the holding: the deletions happen here too, or are taken back for everybody. Durable on return.
    ///
    /// # Errors
    /// `Io`, `NoSpace` when it may not be durable; it is written again by a later flush.
    pub(crate) fn decide_deletions(&self, decision: Decision) -> Result<Vec<HeldFiles>, FsError> {
        let mut brake = self.brake.lock();
        let _awake = self.volume.wake_concerned(&brake.held().collect::<Vec<_>>())?;
        let held = brake.held_files();
        let Sorted { apply, meta } = brake.take();
        if decision == Decision::Undo {
            let mut tables = self.volume.lock();
            apply.iter().for_each(|version| tables.assert_wanted(&version.record.file()));
        }
        self.volume.apply_remote(apply, meta)?;
        drop(brake);
        self.volume.flush()?;
        Ok(held)
    }

    /// Which chunks the contents name, where their manifests are here.
    fn lists_of(&self, versions: &[RemoteVersion]) -> Vec<ManifestList> {
        let mut lists = Vec::new();
        for content in versions.iter().flat_map(|version| version.record.contents()) {
            if let Body::Chunked(chunked) = &content.body
                && let Some(found) = whole_manifest_refs(&self.cache, chunked)
            {
                lists.extend(found.into_iter().map(|list| (list.node, list.ids)));
            }
        }
        lists
    }
}
