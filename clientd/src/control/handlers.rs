//! One function a request: decode, ask engine or mounts, answer.

use super::Shared;
use super::error::Failure;
use axum::Json;
use axum::extract::State as Extract;
use freehold_api::control::{
    CONTROL_VERSION, Conflicts, Credentials, DecideDeletions, Deletions, KeepConflict, KeptConflict, Mount,
    SignedUp, State, Status, Version, Wait, WhoAmI,
};
use freehold_engine::{Engine, Identity};
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
fn device_name(credentials: &Credentials) -> String {
    credentials
        .device
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
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
    let path = path_in_vault(&request, mount.as_deref());
    Ok(Json(shared.engine.keep_conflict(path, request.keep).await?))
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

/// The path in the vault that a caller means: below the mount point, or as `conflicts` lists it.
fn path_in_vault<'a>(request: &'a KeepConflict, mount: Option<&Path>) -> &'a str {
    let below = |path: &'a str| mount.and_then(|mount| Path::new(path).strip_prefix(mount).ok()?.to_str());
    let absolute = request.absolute.as_deref().and_then(below);
    let path = absolute.or_else(|| below(&request.path)).unwrap_or(&request.path);
    path.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_api::control::Keep;

    #[test]
    fn a_path_is_taken_from_the_mount_point_or_from_the_vault() {
        let mount = Some(Path::new("/home/eva/Vault"));
        let asked = |path: &str, absolute: Option<&str>| KeepConflict {
            keep: Keep::Mine,
            path: path.to_owned(),
            absolute: absolute.map(str::to_owned),
        };
        let here = asked("report.odt", Some("/home/eva/Vault/work/report.odt"));
        assert_eq!(path_in_vault(&here, mount), "work/report.odt");
        assert_eq!(path_in_vault(&here, None), "report.odt");
        let elsewhere = asked("work/report.odt", Some("/tmp/work/report.odt"));
        assert_eq!(path_in_vault(&elsewhere, mount), "work/report.odt");
        assert_eq!(path_in_vault(&asked("/home/eva/Vault/a", None), mount), "a");
        assert_eq!(path_in_vault(&asked("/home/eva/Vaults/a", None), mount), "home/eva/Vaults/a");
    }
}
