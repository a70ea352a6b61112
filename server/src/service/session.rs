//! Making sessions: the token goes to the client, its hash to the database.

use crate::App;
use crate::db::{SessionRow, TokenHash};
use crate::limits::{ACCOUNT_SESSION_SECONDS, DEVICE_SESSION_SECONDS};
use crate::random;
use freehold_api::{Scope, Session};
use freehold_model::{AccountId, DeviceId};

/// A session not yet stored.
pub(super) struct NewSession {
    /// What the database keeps the session under.
    pub(super) token: TokenHash,
    /// What it keeps.
    pub(super) row: SessionRow,
    /// What the client gets.
    pub(super) message: Session,
}

/// A session of a device, or of the account alone.
pub(super) fn new(app: &App, account: AccountId, device: Option<DeviceId>) -> NewSession {
    let (scope, life_seconds) = match device {
        Some(_) => (Scope::Device, DEVICE_SESSION_SECONDS),
        None => (Scope::Account, ACCOUNT_SESSION_SECONDS),
    };
    let token = random::token("fhs_");
    let row = SessionRow { account, device, expires: app.clock.micros_in(life_seconds) };
    let expires = app.clock.seconds().saturating_add(life_seconds);
    NewSession {
        token: random::token_hash(&token),
        row,
        message: Session { token, expires, scope, account_id: account, device_id: device },
    }
}
