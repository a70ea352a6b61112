//! Matchmaking: where devices of one account find each other.
//!
//! A device leaves a statement it has signed itself; the others of its account read it and verify it
//! again. The server keeps the latest of each and believes none of it.

use crate::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use freehold_api::{Blob, DeviceAddressList, ErrorCode, Event};
use freehold_trust::SignedDeviceAddresses;

pub(crate) async fn put(app: &App, caller: &DeviceCaller, statement: Blob) -> ApiResult<()> {
    let malformed =
        || ApiError::field(ErrorCode::BadRequest, "statement", "this is no signed list of addresses");
    let signed = SignedDeviceAddresses::from_bytes(statement.as_slice()).map_err(|_| malformed())?;
    let device = app.store.device(caller.device).await?.ok_or(ApiError::new(ErrorCode::Unauthenticated))?;
    let said = signed.verify(&device.sign_pk).map_err(|_| ApiError::new(ErrorCode::BadSignature))?;
    if (said.account(), said.device()) != (caller.account, caller.device) {
        return Err(ApiError::new(ErrorCode::BadSignature));
    }
    let time = i64::try_from(said.time()).map_err(|_| malformed())?;
    if app.store.put_addresses(caller.device, time, statement.0).await? {
        app.push(Some(caller.account), Event::Addresses);
    }
    Ok(())
}

pub(crate) async fn list(app: &App, caller: &DeviceCaller) -> ApiResult<DeviceAddressList> {
    let statements = app.store.addresses(caller.account).await?;
    Ok(DeviceAddressList { statements: statements.into_iter().map(Blob).collect() })
}
