//! The handlers: take the message off the request, let a service decide, answer.

use super::error::{ApiError, ApiResult};
use super::extract::{Bulk, Caller, DeviceCaller, Id, Ids, Json, Peer};
use crate::App;
use crate::service::{
    account, addresses, append, device, login, node, password, placement, push, receipts, recovery,
    registration, status, vault,
};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use freehold_api::bulk::{CommitPage, PushRequest, ReceiptsRequest, VersionsRequest, VersionsResponse};
use freehold_api::limits::PAGE_COMMITS_DEFAULT;
use freehold_api::{
    AccountBoxes, AccountLog, AppendEntries, AppendedEntries, Capabilities, CapabilityRequest, ChainState,
    DeviceAddressList, DeviceAddressesPut, DeviceChallenge, DeviceChallengeRequest, DeviceSessionRequest,
    ErrorCode, Health, Heartbeat, LayoutInfo, LoginFinish, LoginStart, LoginStarted, NodeJoin, NodeJoined,
    PasswordStart, PasswordStarted, PushResponse, ReceiptsAccepted, RecoveryChallenge,
    RecoveryChallengeRequest, RecoverySessionRequest, RegisterFinish, RegisterStart, RegisterStarted,
    ServerInfo, Session, VaultList, VaultState, VersionInfo,
};
use freehold_model::{DeviceId, NodeId, VaultId};
use serde::Deserialize;
use std::sync::Arc;

type Shared = State<Arc<App>>;

pub(super) async fn livez() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn readyz(State(app): Shared) -> (StatusCode, Json<Health>) {
    let health = status::health(&app).await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

pub(super) async fn version() -> Json<VersionInfo> {
    Json(status::version())
}

pub(super) async fn server(State(app): Shared) -> ApiResult<Json<ServerInfo>> {
    status::server_info(&app).await.map(Json)
}

pub(super) async fn register_start(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<RegisterStart>,
) -> ApiResult<Json<RegisterStarted>> {
    registration::start(&app, peer, &request).await.map(Json)
}

pub(super) async fn register_finish(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<RegisterFinish>,
) -> ApiResult<Json<Session>> {
    registration::finish(&app, peer, request).await.map(Json)
}

pub(super) async fn login_start(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<LoginStart>,
) -> ApiResult<Json<LoginStarted>> {
    login::start(&app, peer, request).await.map(Json)
}

pub(super) async fn login_finish(
    State(app): Shared,
    Json(request): Json<LoginFinish>,
) -> ApiResult<Json<Session>> {
    login::finish(&app, &request).await.map(Json)
}

pub(super) async fn device_challenge(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<DeviceChallengeRequest>,
) -> ApiResult<Json<DeviceChallenge>> {
    device::challenge(&app, peer, &request).map(Json)
}

pub(super) async fn device_session(
    State(app): Shared,
    Json(request): Json<DeviceSessionRequest>,
) -> ApiResult<Json<Session>> {
    device::session(&app, &request).await.map(Json)
}

pub(super) async fn recovery_challenge(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<RecoveryChallengeRequest>,
) -> ApiResult<Json<RecoveryChallenge>> {
    recovery::challenge(&app, peer, &request).map(Json)
}

pub(super) async fn recovery_session(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<RecoverySessionRequest>,
) -> ApiResult<Json<Session>> {
    recovery::session(&app, peer, &request).await.map(Json)
}

pub(super) async fn logout(State(app): Shared, caller: Caller) -> ApiResult<StatusCode> {
    app.store.end_session(caller.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn account_log(State(app): Shared, caller: Caller) -> ApiResult<Json<AccountLog>> {
    account::log(&app, caller.account).await.map(Json)
}

pub(super) async fn append_entries(
    State(app): Shared,
    caller: Caller,
    Json(request): Json<AppendEntries>,
) -> ApiResult<Json<AppendedEntries>> {
    append::append(&app, caller.account, request).await.map(Json)
}

pub(super) async fn password_start(
    State(app): Shared,
    Peer(peer): Peer,
    caller: Caller,
    Json(request): Json<PasswordStart>,
) -> ApiResult<Json<PasswordStarted>> {
    password::start(&app, peer, caller.account, &request).await.map(Json)
}

pub(super) async fn account_boxes(State(app): Shared, caller: Caller) -> ApiResult<Json<AccountBoxes>> {
    Ok(Json(app.store.boxes(caller.account).await?))
}

/// Also for a session without a device: whoever sets a new password rotates every vault's key.
pub(super) async fn vaults(State(app): Shared, caller: Caller) -> ApiResult<Json<VaultList>> {
    Ok(Json(VaultList { vaults: app.store.vaults(caller.account).await? }))
}

pub(super) async fn push(
    State(app): Shared,
    caller: DeviceCaller,
    Id(vault): Id<VaultId>,
    Bulk(request): Bulk<PushRequest>,
) -> ApiResult<Json<PushResponse>> {
    push::push(&app, &caller, vault, request).await.map(Json)
}

#[derive(Deserialize)]
pub(super) struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(super) async fn commit_page(
    State(app): Shared,
    caller: DeviceCaller,
    Id(vault): Id<VaultId>,
    query: Result<Query<PageQuery>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Bulk<CommitPage>> {
    let Query(query) =
        query.map_err(|_| ApiError::with(ErrorCode::BadRequest, "after and limit are whole numbers"))?;
    vault::check(&app, &caller, vault).await?;
    let limit = query.limit.unwrap_or(PAGE_COMMITS_DEFAULT);
    Ok(Bulk(app.store.commit_page(vault, query.after, limit).await?))
}

pub(super) async fn versions(
    State(app): Shared,
    caller: DeviceCaller,
    Id(vault): Id<VaultId>,
    Bulk(request): Bulk<VersionsRequest>,
) -> ApiResult<Bulk<VersionsResponse>> {
    vault::check(&app, &caller, vault).await?;
    Ok(Bulk(app.store.versions(vault, &request.hashes).await?))
}

pub(super) async fn receipts(
    State(app): Shared,
    caller: DeviceCaller,
    Id(vault): Id<VaultId>,
    Bulk(request): Bulk<ReceiptsRequest>,
) -> ApiResult<Json<ReceiptsAccepted>> {
    receipts::book(&app, &caller, vault, request).await.map(Json)
}

pub(super) async fn vault_state(
    State(app): Shared,
    caller: DeviceCaller,
    Id(vault): Id<VaultId>,
) -> ApiResult<Json<VaultState>> {
    vault::check(&app, &caller, vault).await?;
    Ok(Json(app.store.vault_state(vault).await?))
}

pub(super) async fn chain(
    State(app): Shared,
    caller: DeviceCaller,
    Ids(vault, device): Ids<VaultId, DeviceId>,
) -> ApiResult<Json<ChainState>> {
    vault::check(&app, &caller, vault).await?;
    Ok(Json(app.store.chain(vault, device).await?))
}

pub(super) async fn put_addresses(
    State(app): Shared,
    caller: DeviceCaller,
    Json(request): Json<DeviceAddressesPut>,
) -> ApiResult<StatusCode> {
    addresses::put(&app, &caller, request.statement).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn addresses(
    State(app): Shared,
    caller: DeviceCaller,
) -> ApiResult<Json<DeviceAddressList>> {
    addresses::list(&app, &caller).await.map(Json)
}

pub(super) async fn layout(State(app): Shared, _caller: DeviceCaller) -> ApiResult<Json<LayoutInfo>> {
    placement::layout(&app).await.map(Json)
}

pub(super) async fn capabilities(
    State(app): Shared,
    caller: DeviceCaller,
    Json(request): Json<CapabilityRequest>,
) -> ApiResult<Json<Capabilities>> {
    placement::capabilities(&app, &caller, &request).await.map(Json)
}

pub(super) async fn node_join(
    State(app): Shared,
    Peer(peer): Peer,
    Json(request): Json<NodeJoin>,
) -> ApiResult<Json<NodeJoined>> {
    node::join(&app, peer, &request).await.map(Json)
}

pub(super) async fn node_heartbeat(
    State(app): Shared,
    Id(node): Id<NodeId>,
    Json(request): Json<Heartbeat>,
) -> ApiResult<StatusCode> {
    node::heartbeat(&app, node, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}
