//! Password login: OPAQUE in two requests, a session of account scope at the end.
//!
//! A name nobody has gets an answer of the same form from OPAQUE's own dummy record, and fails at
//! the same step as a wrong password. Attempts are counted by (name, network) and by network.

use super::registration::check_user;
use super::session;
use crate::App;
use crate::app::{LoginUnderWay, kdf_message};
use crate::http::error::{ApiError, ApiResult};
use crate::random::{self, OsEntropy};
use crate::throttle::network;
use freehold_api::{Blob, ErrorCode, LoginFinish, LoginStart, LoginStarted, Session};
use freehold_trust::KdfParams;
use freehold_trust::opaque::{Parties, login_finish};
use std::net::IpAddr;

pub(crate) async fn start(app: &App, peer: IpAddr, request: LoginStart) -> ApiResult<LoginStarted> {
    check_user(&request.user)?;
    let login_hash = app.keys.login_hash(&request.user);
    let bucket = throttle(app, peer, &login_hash)?;
    let row = app.store.login(login_hash).await?;
    let record = row.as_ref().map(|row| row.opaque_record.as_slice());
    let server = app.keys.public();
    let parties = Parties { user: request.user.as_bytes(), server: &server };
    let mut started = app
        .keys
        .opaque()
        .login_start(record, request.ke1.as_slice(), &parties, &mut OsEntropy)
        .map_err(|_| ApiError::field(ErrorCode::BadRequest, "ke1", "this is not a login message"))?;
    let ke2 = Blob(std::mem::take(&mut started.ke2));
    let login_id = random::bytes();
    let under_way =
        LoginUnderWay { account: row.as_ref().map(|row| row.account), user: request.user, started, bucket };
    app.logins.put(login_id, under_way, app.clock.micros());
    let kdf = row.map_or(kdf_message(KdfParams::DEFAULT), |row| row.kdf);
    Ok(LoginStarted { login_id: Blob::from(login_id), ke2, kdf })
}

pub(crate) async fn finish(app: &App, request: &LoginFinish) -> ApiResult<Session> {
    let login_id = request.login_id.to_array();
    let login = login_id.and_then(|id| app.logins.take(&id, app.clock.micros()));
    let login = login.ok_or(ApiError::new(ErrorCode::LoginExpired))?;
    let server = app.keys.public();
    let parties = Parties { user: login.user.as_bytes(), server: &server };
    let proof = login_finish(&login.started.state, request.ke3.as_slice(), &parties);
    let (Ok(_), Some(account)) = (proof, login.account) else {
        return Err(ApiError::new(ErrorCode::BadCredentials));
    };
    app.login_throttle.give_back(&login.bucket);
    let new = session::new(app, account, None);
    app.store.put_session(new.token, new.row).await?;
    Ok(new.message)
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
