//! Who may use a vault.

use crate::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use freehold_api::ErrorCode;
use freehold_model::VaultId;

/// Lets the owner's devices pass. A foreign vault and a missing one look the same.
pub(crate) async fn check(app: &App, caller: &DeviceCaller, vault: VaultId) -> ApiResult<()> {
    match app.store.vault_owner(vault).await? {
        Some(owner) if owner == caller.account => Ok(()),
        _ => Err(ApiError::new(ErrorCode::VaultNotFound)),
    }
}
