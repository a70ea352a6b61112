//! One function a request: decode, ask engine or mounts, answer.

use super::Shared;
use super::error::Failure;
use axum::Json;
use axum::extract::State as Extract;
use freehold_api::control::{
    self, CONTROL_VERSION, ChangePassword, Confirm, Conflicts, Credentials, DecideDeletions, Deletions,
    DeviceEntry, DeviceList, DeviceRevoked, Evict, Evicted, Hydrated, KeepConflict, KeptConflict, Mount,
    NewWords, Pin, Recover, RenameDevice, RevokeDevice, SignedUp, State, Status, Version, Wait, WhoAmI,
    Words, WordsTested,
};
use freehold_engine::{Engine, Identity, PinMode, Secret};
use std::path::Path;
use std::time::Duration;

type Answer<T> = Result<Json<T>, Failure>;

pub(super) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").to_owned(), control: CONTROL_VERSION })
}

pub(super) async fn status(Extract(shared): Extract<Shared>) -> Json<Status> {
    Json(current(&shared).await)
}

async fn current(shared: &Shared) -> Status {
    let mut status = shared.engine.status();
    status.mount = shared.mounts.path().await.map(|path| path.to_string_lossy().into_owned());
    status
}

pub(super) async fn whoami(Extract(shared): Extract<Shared>) -> Json<WhoAmI> {
    Json(who(&shared.engine))
}

fn who(engine: &Engine) -> WhoAmI {
    describe(engine.identity().as_ref())
}

fn describe(identity: Option<&Identity>) -> WhoAmI {
    WhoAmI {
        user: identity.map(|it| it.user.clone()),
        server: identity.map(|it| it.server.clone()),
        account: identity.map(|it| it.account.to_string()),
        device: identity.map(|it| it.device.to_string()),
        device_name: identity.map(|it| it.device_name.clone()),
    }
}

/// The name a device gets when the user gives none: the machine's.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn device_name(credentials: &Credentials) -> String {
    credentials.device.clone().unwrap_or_else(host_name)
}

pub(super) async fn signup(
    Extract(shared): Extract<Shared>,
    Json(credentials): Json<Credentials>,
) -> Answer<SignedUp> {
    let Credentials { server, user, password, .. } = &credentials;
    let done = shared.engine.signup(server, user, password, &device_name(&credentials)).await?;
    Ok(Json(SignedUp {
        who: describe(Some(&done.identity)),
        recovery_words: done.recovery_words.to_string(),
    }))
}

pub(super) async fn login(
    Extract(shared): Extract<Shared>,
    Json(credentials): Json<Credentials>,
) -> Answer<WhoAmI> {
    let Credentials { server, user, password, .. } = &credentials;
    let identity = shared.engine.login(server, user, password, &device_name(&credentials)).await?;
    Ok(Json(describe(Some(&identity))))
}

pub(super) async fn logout(Extract(shared): Extract<Shared>) -> Answer<WhoAmI> {
    if let Some(path) = shared.mounts.path().await {
        return Err(Failure::still_mounted(&path));
    }
    shared.engine.logout().await?;
    Ok(Json(describe(None)))
}

pub(super) async fn recover(
    Extract(shared): Extract<Shared>,
    Json(recover): Json<Recover>,
) -> Answer<SignedUp> {
    let device = recover.device.clone().unwrap_or_else(host_name);
    let done = shared.engine.recover(&recover.server, &recover.words, &recover.password, &device).await?;
    Ok(Json(SignedUp {
        who: describe(Some(&done.identity)),
        recovery_words: done.recovery_words.to_string(),
    }))
}

pub(super) async fn recovery_create(
    Extract(shared): Extract<Shared>,
    Json(confirm): Json<Confirm>,
) -> Answer<NewWords> {
    let words = shared.engine.create_recovery(&confirm.password).await?;
    Ok(Json(NewWords { recovery_words: words.to_string() }))
}

pub(super) async fn recovery_test(
    Extract(shared): Extract<Shared>,
    Json(words): Json<Words>,
) -> Answer<WordsTested> {
    let fresh = shared.engine.test_recovery(&words.words).await?;
    Ok(Json(WordsTested { fresh }))
}

pub(super) async fn passwd(
    Extract(shared): Extract<Shared>,
    Json(change): Json<ChangePassword>,
) -> Answer<WhoAmI> {
    shared.engine.change_password(&change.old, &change.new).await?;
    Ok(Json(who(&shared.engine)))
}

pub(super) async fn devices(Extract(shared): Extract<Shared>) -> Answer<DeviceList> {
    Ok(Json(DeviceList { devices: shared.engine.devices().await? }))
}

pub(super) async fn device_revoke(
    Extract(shared): Extract<Shared>,
    Json(revoke): Json<RevokeDevice>,
) -> Answer<DeviceRevoked> {
    let secret = match (&revoke.password, &revoke.words) {
        (Some(password), None) => Secret::Password(password),
        (None, Some(words)) => Secret::Words(words),
        _ => return Err(Failure::one_secret()),
    };
    let revoked = shared.engine.revoke_device(&revoke.device, secret).await;
    let (device, pending) = revoked.map_err(|error| Failure::revoke(error, secret))?;
    Ok(Json(DeviceRevoked { device, pending }))
}

pub(super) async fn device_rename(
    Extract(shared): Extract<Shared>,
    Json(rename): Json<RenameDevice>,
) -> Answer<DeviceEntry> {
    Ok(Json(shared.engine.rename_device(&rename.device, &rename.name).await?))
}

pub(super) async fn mount(Extract(shared): Extract<Shared>, Json(mount): Json<Mount>) -> Answer<Mount> {
    let path = Path::new(&mount.path);
    if !path.is_absolute() {
        return Err(Failure::relative_path());
    }
    shared.mounts.mount(path).await.map_err(|failure| Failure::mount(path, failure))?;
    Ok(Json(mount))
}

pub(super) async fn unmount(Extract(shared): Extract<Shared>) -> Answer<Status> {
    let path = shared.mounts.path().await.unwrap_or_default();
    shared.mounts.unmount().await.map_err(|failure| Failure::mount(&path, failure))?;
    Ok(Json(current(&shared).await))
}

pub(super) async fn wait(Extract(shared): Extract<Shared>, Json(wait): Json<Wait>) -> Answer<Status> {
    if shared.engine.identity().is_none() {
        return Err(Failure::signed_out());
    }
    let synced = shared.engine.wait_synced();
    match wait.timeout_s {
        None => synced.await,
        Some(seconds) => {
            if tokio::time::timeout(Duration::from_secs(seconds), synced).await.is_err() {
                return Err(Failure::not_synced_yet(&current(&shared).await));
            }
        }
    }
    shared.mounts.settle().await;
    let mut status = current(&shared).await;
    // A change made after the moment we waited for does not take the answer back.
    if status.state == State::Syncing {
        status.state = State::Synced;
    }
    Ok(Json(status))
}

pub(super) async fn conflicts(Extract(shared): Extract<Shared>) -> Answer<Conflicts> {
    let engine = shared.engine.clone();
    let found = tokio::task::spawn_blocking(move || engine.conflicts()).await;
    Ok(Json(found.map_err(|_| Failure::interrupted())??))
}

pub(super) async fn keep_conflict(
    Extract(shared): Extract<Shared>,
    Json(request): Json<KeepConflict>,
) -> Answer<KeptConflict> {
    let mount = shared.mounts.path().await;
    let path = path_in_vault(&request.path, request.absolute.as_deref(), mount.as_deref());
    Ok(Json(shared.engine.keep_conflict(path, request.keep).await?))
}

pub(super) async fn pin(Extract(shared): Extract<Shared>, Json(request): Json<Pin>) -> Answer<Hydrated> {
    let mount = shared.mounts.path().await;
    let path = path_in_vault(&request.path, request.absolute.as_deref(), mount.as_deref());
    let mode = match request.mode {
        control::PinMode::Always => Some(PinMode::Always),
        control::PinMode::Auto => Some(PinMode::Auto),
        control::PinMode::Never => Some(PinMode::Never),
        control::PinMode::Inherit => None,
    };
    Ok(Json(shared.engine.set_pin(path, mode).await?))
}

pub(super) async fn evict(Extract(shared): Extract<Shared>, Json(request): Json<Evict>) -> Answer<Evicted> {
    let mount = shared.mounts.path().await;
    let path = path_in_vault(&request.path, request.absolute.as_deref(), mount.as_deref());
    Ok(Json(shared.engine.evict(path).await?))
}

pub(super) async fn deletions(Extract(shared): Extract<Shared>) -> Answer<Deletions> {
    let engine = shared.engine.clone();
    let held = tokio::task::spawn_blocking(move || engine.held_deletions()).await;
    Ok(Json(held.map_err(|_| Failure::interrupted())??))
}

pub(super) async fn decide_deletions(
    Extract(shared): Extract<Shared>,
    Json(request): Json<DecideDeletions>,
) -> Answer<Deletions> {
    Ok(Json(shared.engine.decide_deletions(request.decision).await?))
}

/// The path in the vault that a caller means: below the mount point, or from the vault's top folder.
fn path_in_vault<'a>(path: &'a str, absolute: Option<&'a str>, mount: Option<&Path>) -> &'a str {
    let below = |path: &'a str| mount.and_then(|mount| Path::new(path).strip_prefix(mount).ok()?.to_str());
    absolute.and_then(below).or_else(|| below(path)).unwrap_or(path).trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_from_the_mount_point_or_from_the_vault() {
        let mount = Some(Path::new("/home/eva/Vault"));
        let here = Some("/home/eva/Vault/work/report.odt");
        assert_eq!(path_in_vault("report.odt", here, mount), "work/report.odt");
        assert_eq!(path_in_vault("report.odt", here, None), "report.odt");
        assert_eq!(path_in_vault("work/report.odt", Some("/tmp/work/report.odt"), mount), "work/report.odt");
        assert_eq!(path_in_vault("/home/eva/Vault/a", None, mount), "a");
        assert_eq!(path_in_vault("/home/eva/Vaults/a", None, mount), "home/eva/Vaults/a");
        assert_eq!(path_in_vault("/home/eva/Vault", None, mount), "");
    }
}
