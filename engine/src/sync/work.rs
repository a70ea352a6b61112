//! Doing what the machine asks for: one task each, one answer each.

use super::apply::Applied;
use super::checkpoint::{Checkpoint, Compared};
use super::intake::{Ask, Source, just_before};
use super::late::Judged;
use super::meet::Past;
use super::members::MembersError;
use super::send::Sent;
use super::write::Written;
use super::{Parts, SyncError};
use crate::cut::refs::manifest_refs;
use crate::transfer::bring::bring;
use crate::transfer::peer::PeerFailure;
use freehold_api::bulk::{CommitPage, ManifestRefs, PushVersion, VersionItem, VersionsRequest};
use freehold_api::device_peer::{CommitsRequest, CommitsResponse, HeadItem, Heads};
use freehold_api::limits::PAGE_COMMITS_MAX;
use freehold_model::{DeviceId, VersionHash};
use freehold_net::coord::CoordError;
use freehold_trust::commit::SignedHead;
use freehold_vault::Chunked;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something is done.
#[derive(Debug)]
pub(super) enum Done {
    /// The server was met: what it knows of this device's chain.
    Met(Result<Past, SyncError>),
    Page(Result<CommitPage, CoordError>),
    Heads(DeviceId, Result<Heads, PeerFailure>),
    Commits(DeviceId, Result<CommitsResponse, PeerFailure>),
    /// The commit that another device claims of this one.
    OwnPast {
        from: DeviceId,
        claim: HeadItem,
        answer: Result<CommitsResponse, PeerFailure>,
    },
    Versions {
        from: Source,
        asked: Vec<VersionHash>,
        answer: Result<Vec<VersionItem>, Failure>,
    },
    /// Versions that were kept before the last stop.
    Kept(Result<Vec<PushVersion>, SyncError>),
    Log(Source, Result<(), MembersError>),
    Brought(BTreeSet<VersionHash>),
    Compared(Box<Checkpoint>, Result<Compared, SyncError>),
    Applied(Applied),
    /// What was followed is held to the cuts of removed devices.
    JudgedLate(Result<Judged, SyncError>),
    Written(Result<Option<Written>, SyncError>),
    Sent(Result<Sent, SyncError>),
    /// A device was told, or not: it asks for itself later.
    Told,
    /// A device was told commits, or could not be.
    TellsCommits(DeviceId, bool),
    /// How many versions of earlier starts are not placed yet.
    Placed(Result<usize, SyncError>),
    /// What devices left at the storage nodes, if one answered.
    Witnessed(Result<Option<Vec<SignedHead>>, SyncError>),
    /// This device goes on as a new incarnation.
    Reborn(Result<(), SyncError>),
}

/// A source did not answer as asked.
#[derive(Debug)]
pub(super) enum Failure {
    Server(CoordError),
    Device(PeerFailure),
}

impl Parts {
    /// Does one thing.
    pub(super) async fn perform(self: Arc<Self>, ask: Ask) -> Done {
        let vault = self.vault;
        match ask {
            Ask::Page { after } => {
                let page = self
                    .server
                    .ask(|client| async move { client.commits_after(&vault, after, PAGE_COMMITS_MAX).await });
                Done::Page(page.await)
            }
            Ask::Heads { from } => Done::Heads(from, self.devices.heads(&from).await),
            Ask::Commits { from, after } => {
                let request = CommitsRequest { vault, after };
                Done::Commits(from, self.devices.commits(&from, &request).await)
            }
            Ask::OwnPast { from, claim } => {
                let request = CommitsRequest { vault, after: vec![just_before(&claim)] };
                let answer = self.devices.commits(&from, &request).await;
                Done::OwnPast { from, claim, answer }
            }
            Ask::Versions { from, hashes } => {
                let answer = self.ask_for_versions(from, &hashes).await;
                Done::Versions { from, asked: hashes, answer }
            }
            Ask::Kept { hashes } => {
                let kept = super::blocking(move || self.local.kept(&hashes));
                Done::Kept(kept.await)
            }
            Ask::Log { from } => Done::Log(from, self.read_log(from).await),
            Ask::Bring { wanted } => Done::Brought(bring(&self.downloads, &self.cache, wanted).await),
            Ask::Compare(checkpoint) => {
                let (checkpoint, compared) = self.compare(*checkpoint).await;
                Done::Compared(Box::new(checkpoint), compared)
            }
            Ask::Apply(application) => Done::Applied(self.apply(*application).await),
        }
    }

    async fn ask_for_versions(
        &self,
        from: Source,
        hashes: &[VersionHash],
    ) -> Result<Vec<VersionItem>, Failure> {
        match from {
            Source::Server => {
                let (vault, request) = (self.vault, &VersionsRequest { hashes: hashes.to_vec() });
                let answer = self.server.ask(|client| async move { client.versions(&vault, request).await });
                answer.await.map(|answer| answer.items).map_err(Failure::Server)
            }
            Source::Device(device) => {
                let answer = self.devices.versions(&device, hashes.to_vec()).await;
                answer.map(|answer| answer.items).map_err(Failure::Device)
            }
        }
    }

    async fn read_log(&self, from: Source) -> Result<(), MembersError> {
        let lost = match from {
            Source::Server => self.members.refresh().await?,
            Source::Device(device) => {
                let after = self.members.state().head_seq() + 1;
                let more = self.devices.log_after(&device, after).await;
                let more = more.map_err(|_| MembersError::Server(CoordError::Unreachable))?;
                self.members.extend(after, &more.entries)?
            }
        };
        self.report_lost(&lost);
        self.members_changed();
        Ok(())
    }

    /// The reference lists of a content of this device that the server does not have yet.
    pub(crate) fn new_refs(&self, content: &Chunked) -> Vec<ManifestRefs> {
        if self.uploads.holds(&content.root) { manifest_refs(&self.cache, content) } else { Vec::new() }
    }

    /// The account may have changed: names, who is admitted.
    pub(crate) fn members_changed(&self) {
        let mut tables = self.volume.lock();
        for (device, label) in self.members.labels() {
            tables.set_label(device, label);
        }
        drop(tables);
        self.devices.members_changed();
    }
}
