//! What the server says about itself.

use crate::App;
use crate::clock::micros;
use crate::http::error::ApiResult;
use crate::limits::NODE_LIVE_SECONDS;
use freehold_api::{Blob, Health, PROTOCOL, Registration, ServerInfo, VersionInfo};

pub(crate) fn version() -> VersionInfo {
    VersionInfo {
        program: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
    }
}

pub(crate) async fn server_info(app: &App) -> ApiResult<ServerInfo> {
    let registration =
        if app.store.has_accounts().await? { Registration::Invite } else { Registration::Open };
    Ok(ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        server_id: Blob::from(app.keys.server_id()),
        sign_pk: Blob::from(app.keys.public().to_bytes()),
        registration,
    })
}

/// Ready means that the database answers. Nodes are told apart: logins work without any.
pub(crate) async fn health(app: &App) -> Health {
    let heard_since = app.clock.micros().saturating_sub(micros(NODE_LIVE_SECONDS));
    let database = app.store.ping().await.is_ok();
    let nodes = app.store.nodes().await.unwrap_or_default();
    let live = nodes.iter().filter(|node| node.last_seen > heard_since).count();
    Health { ready: database, database, nodes_live: u32::try_from(live).unwrap_or(u32::MAX) }
}
