//! The password: proving it at a server, and putting a new one in place.
//!
//! OPAQUE yields the export key only to the right password at the true server. Stretching takes a third of a
//! second and 128 MiB, off the runtime's threads.

use super::Identity;
use super::server_key::meet;
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use freehold_api::{Blob, Kdf, LoginFinish, LoginStart, NewLogin, PasswordStart, PasswordStarted};
use freehold_crypto::UnlockKeys;
use freehold_model::AccountId;
use freehold_net::coord::ServerClient;
use freehold_trust::opaque::{Login, LoginResult, Parties, Registration, RegistrationResult};
use freehold_trust::{KdfParams, PublicKey};
use zeroize::Zeroizing;

/// Logs in; the client has a session of account scope afterwards.
///
/// # Errors
/// `WrongPassword` for a wrong password, an unknown user and a server that shows another's key.
pub(super) async fn password_login(
    client: &ServerClient,
    (user, password): (&str, &str),
    server_key: PublicKey,
) -> Result<(AccountId, Zeroizing<[u8; 64]>), EngineError> {
    let (login, ke1) = Login::start(password.as_bytes(), &mut OsEntropy).map_err(EngineError::opaque)?;
    let start = LoginStart { user: user.to_owned(), ke1: Blob(ke1) };
    let started = client.login_start(&start).await.map_err(EngineError::coord)?;
    let done = stretch_login(login, started.ke2.0, user, server_key, safe(started.kdf)?).await?;
    let finish = LoginFinish { login_id: started.login_id, ke3: Blob(done.ke3) };
    let session = client.login_finish(&finish).await.map_err(EngineError::coord)?;
    client.set_session(&session).map_err(EngineError::coord)?;
    Ok((session.account_id, done.export_key))
}

/// The password's keys, for a device that is signed in: asked of the server each time, kept nowhere.
///
/// # Errors
/// `WrongPassword`; `ServerUntrusted` when the server is not the one this device knows.
pub(crate) async fn password_keys(
    identity: &Identity,
    server_key: PublicKey,
    password: &str,
) -> Result<UnlockKeys, EngineError> {
    let (client, shown) = meet(&identity.server).await?;
    if shown != server_key {
        return Err(EngineError::ServerUntrusted("its key is not the one this device knows it by"));
    }
    let (account, export_key) = password_login(&client, (&identity.user, password), server_key).await?;
    if let Err(error) = client.logout().await {
        tracing::debug!(%error, "a session by password was left to end by itself");
    }
    if account != identity.account {
        return Err(EngineError::ServerUntrusted("it shows another account under this user name"));
    }
    Ok(UnlockKeys::from_password(&export_key, &account))
}

/// A new password between its two messages.
pub(crate) struct NewPassword {
    registration: Registration,
    /// The first message.
    pub(crate) start: PasswordStart,
}

/// A new password, stretched.
pub(crate) struct Stretched {
    /// Its keys.
    pub(crate) keys: UnlockKeys,
    /// How it is hashed.
    pub(crate) kdf: KdfParams,
    /// The second message.
    pub(crate) login: NewLogin,
}

impl NewPassword {
    /// Blinds the password.
    ///
    /// # Errors
    /// `BadName` when it is empty or too long.
    pub(crate) fn start(user: &str, password: &str) -> Result<Self, EngineError> {
        let (registration, request) =
            Registration::start(password.as_bytes(), &mut OsEntropy).map_err(EngineError::opaque)?;
        Ok(Self { registration, start: PasswordStart { user: user.to_owned(), request: Blob(request) } })
    }

    /// Stretches it.
    ///
    /// # Errors
    /// `ServerUntrusted` when the answer is no message or its cost is out of bounds.
    pub(crate) async fn finish(
        self,
        started: PasswordStarted,
        account: AccountId,
        server_key: PublicKey,
    ) -> Result<Stretched, EngineError> {
        let (user, kdf) = (self.start.user, safe(started.kdf)?);
        let done = stretch_new(self.registration, started.response.0, &user, server_key, kdf).await?;
        let keys = UnlockKeys::from_password(&done.export_key, &account);
        Ok(Stretched { keys, kdf, login: NewLogin { user, upload: Blob(done.upload) } })
    }
}

/// The parameters, when they are within the compiled bounds.
///
/// # Errors
/// `ServerUntrusted` otherwise.
pub(super) fn safe(kdf: Kdf) -> Result<KdfParams, EngineError> {
    KdfParams::new(kdf.m_kib, kdf.t, kdf.p)
        .map_err(|_| EngineError::ServerUntrusted("it asks for a password hash outside the safe bounds"))
}

/// Finishes a registration beside the runtime.
pub(super) async fn stretch_new(
    registration: Registration,
    response: Vec<u8>,
    user: &str,
    server: PublicKey,
    kdf: KdfParams,
) -> Result<RegistrationResult, EngineError> {
    let user = user.as_bytes().to_vec();
    let work = move || {
        let parties = Parties { user: &user, server: &server };
        registration.finish(&response, &parties, &kdf, &mut OsEntropy)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| EngineError::Internal("hashing the password was interrupted"))?
        .map_err(EngineError::opaque)
}

async fn stretch_login(
    login: Login,
    ke2: Vec<u8>,
    user: &str,
    server: PublicKey,
    kdf: KdfParams,
) -> Result<LoginResult, EngineError> {
    let user = user.as_bytes().to_vec();
    let work = move || {
        let parties = Parties { user: &user, server: &server };
        login.finish(&ke2, &parties, &kdf, &mut OsEntropy)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| EngineError::Internal("hashing the password was interrupted"))?
        .map_err(EngineError::opaque)
}
