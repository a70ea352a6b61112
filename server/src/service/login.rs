//! Password login: OPAQUE in two requests, a session of account scope at the end.
//!
//! A name nobody has gets an answer of the same form from OPAQUE's own dummy record, and fails at
//! the same step as a wrong password. Attempts are counted by (name, network) and by network. The
//! second request may reach another server than the first: the attempt rides with the client as a
//! ticket, out of which the server's half comes again.

use super::registration::check_user;
use super::session;
use crate::App;
use crate::app::kdf_message;
use crate::db::Secret;
use crate::http::error::{ApiError, ApiResult};
use crate::throttle::network;
use crate::tickets::LoginTicket;
use freehold_api::{Blob, ErrorCode, LoginFinish, LoginStart, LoginStarted, Session};
use freehold_trust::KdfParams;
use freehold_trust::opaque::{self, OpaqueError, Parties, login_finish};
use std::net::IpAddr;

pub(crate) async fn start(app: &App, peer: IpAddr, request: LoginStart) -> ApiResult<LoginStarted> {
    check_user(&request.user)?;
    let login_hash = app.keys.login_hash(&request.user);
    let bucket = throttle(app, peer, &login_hash)?;
    let bad_message = || ApiError::field(ErrorCode::BadRequest, "ke1", "this is not a login message");
    let ke1 = request.ke1.to_array().ok_or_else(bad_message)?;
    let row = app.store.login(login_hash).await?;
    let record = row.as_ref().map(|row| row.opaque_record.as_slice());
    let ticket = LoginTicket::new(app.clock.seconds(), bucket, ke1, request.user);
    let started = servers_half(app, &ticket, record).map_err(|_| bad_message())?;
    let login_id = Blob(ticket.seal(&app.keys, record));
    let kdf = row.map_or(kdf_message(KdfParams::DEFAULT), |row| row.kdf);
    Ok(LoginStarted { login_id, ke2: Blob(started.ke2), kdf })
}

pub(crate) async fn finish(app: &App, request: &LoginFinish) -> ApiResult<Session> {
    let expired = || ApiError::new(ErrorCode::LoginExpired);
    let ticket = LoginTicket::read(request.login_id.as_slice()).ok_or_else(expired)?;
    let row = app.store.login(app.keys.login_hash(ticket.user())).await?;
    let record = row.as_ref().map(|row| row.opaque_record.as_slice());
    let ticket = ticket.verify(&app.keys, record, app.clock.seconds()).ok_or_else(expired)?;
    if !ticket.spend(app).await? {
        return Err(expired());
    }
    let started = servers_half(app, &ticket, record).map_err(|_| expired())?;
    let server = app.keys.public();
    let parties = Parties { user: ticket.user.as_bytes(), server: &server };
    let proof = login_finish(&started.state, request.ke3.as_slice(), &parties);
    let (Ok(_), Some(row)) = (proof, row) else {
        return Err(ApiError::new(ErrorCode::BadCredentials));
    };
    app.login_throttle.give_back(&ticket.bucket);
    let new = session::new(app, row.account, None);
    // A password that is replaced at this moment opens nothing any more.
    let secret = Secret::Password { opaque_record: row.opaque_record };
    if !app.store.open_session(new.token, new.row, secret).await? {
        return Err(expired());
    }
    Ok(new.message)
}

/// The server's half of a login, the same each time for one ticket and record.
fn servers_half(
    app: &App,
    ticket: &LoginTicket,
    record: Option<&[u8]>,
) -> Result<opaque::LoginStart, OpaqueError> {
    let server = app.keys.public();
    let parties = Parties { user: ticket.user.as_bytes(), server: &server };
    app.keys.opaque().login_start(record, &ticket.ke1, &parties, &mut ticket.entropy(&app.keys))
}

/// Counts an attempt; the bucket to give it back to.
pub(super) fn throttle(app: &App, peer: IpAddr, login_hash: &[u8; 32]) -> ApiResult<[u8; 32]> {
    let now = app.clock.micros();
    let network = network(peer);
    let all_names = blake3::derive_key("freehold v1 network bucket", &network);
    app.network_throttle.take(all_names, now).map_err(ApiError::wait)?;
    let one_name =
        blake3::derive_key("freehold v1 login bucket", &[login_hash.as_slice(), &network].concat());
    app.login_throttle.take(one_name, now).map_err(ApiError::wait)?;
    Ok(one_name)
}
