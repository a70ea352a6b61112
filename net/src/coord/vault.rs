//! Vaults: commits, versions, receipts, state.
//!
//! What the server says is checked for shape here (order, completeness, cursors); signatures and
//! hashes are the caller's to verify.

use freehold_api::bulk::{CommitPage, PushRequest, ReceiptsRequest, VersionsRequest, VersionsResponse};
use freehold_api::{ChainState, PushResponse, ReceiptsAccepted, VaultList, VaultState, limits, path};
use freehold_model::limits::RECORD_BYTES_MAX;
use freehold_model::{DeviceId, VaultId};

use super::{CoordError, ServerClient};

/// Bytes of a page: it ends with the commit that takes it over its cap, 12 bytes go with each.
const PAGE_ANSWER_BYTES_MAX: usize =
    limits::PAGE_BYTES_MAX + limits::COMMIT_BYTES_MAX + limits::PAGE_COMMITS_MAX * 12 + 64;

/// Bytes of an answer to a version request, counted likewise: 37 bytes go with each record.
const VERSIONS_ANSWER_BYTES_MAX: usize =
    limits::VERSIONS_BYTES_MAX + RECORD_BYTES_MAX + limits::VERSIONS_MAX * 37 + 64;

impl ServerClient {
    /// The vaults this account may open, with their sealed keys.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn vaults(&self) -> Result<VaultList, CoordError> {
        self.get(path::VAULTS).await
    }

    /// Pushes commits in chain order; each has its own outcome. May be repeated.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn push(&self, vault: &VaultId, message: &PushRequest) -> Result<PushResponse, CoordError> {
        let answer: PushResponse = self.bulk_for_json(&path::commits(vault), message).await?;
        if answer.results.len() != message.commits.len() {
            return Err(CoordError::Protocol("as many outcomes as commits are due"));
        }
        Ok(answer)
    }

    /// Numbered commits after the cursor `after`, at most `limit`.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn commits_after(
        &self,
        vault: &VaultId,
        after: u64,
        limit: usize,
    ) -> Result<CommitPage, CoordError> {
        let path = path::commits_after(vault, after, limit.min(limits::PAGE_COMMITS_MAX));
        let page: CommitPage = self.get_bulk(&path, PAGE_ANSWER_BYTES_MAX).await?;
        let continues = match page.items.first() {
            Some(first) => first.vault_seq > after,
            None => page.next == after,
        };
        if !continues {
            return Err(CoordError::Protocol("a page that does not continue its cursor"));
        }
        Ok(page)
    }

    /// Sealed records by hash: the answer covers a prefix of the request, at least its first.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn versions(
        &self,
        vault: &VaultId,
        message: &VersionsRequest,
    ) -> Result<VersionsResponse, CoordError> {
        let path = path::versions(vault);
        let answer: VersionsResponse = self.bulk_for_bulk(&path, message, VERSIONS_ANSWER_BYTES_MAX).await?;
        let asked = answer.items.iter().zip(&message.hashes).all(|(item, hash)| item.hash == *hash);
        let some = !answer.items.is_empty() || message.hashes.is_empty();
        if !asked || !some || answer.items.len() > message.hashes.len() {
            return Err(CoordError::Protocol("other versions than were asked for"));
        }
        Ok(answer)
    }

    /// Books the nodes' receipts. May be repeated.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn receipts(
        &self,
        vault: &VaultId,
        message: &ReceiptsRequest,
    ) -> Result<ReceiptsAccepted, CoordError> {
        self.bulk_for_json(&path::receipts(vault), message).await
    }

    /// Newest number and what is not placed yet.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn vault_state(&self, vault: &VaultId) -> Result<VaultState, CoordError> {
        self.get(&path::state(vault)).await
    }

    /// The newest commit of `device` that the server knows.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn chain(&self, vault: &VaultId, device: &DeviceId) -> Result<ChainState, CoordError> {
        self.get(&path::chain(vault, device)).await
    }
}
