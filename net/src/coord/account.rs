//! Registration, login, device sessions, the account log and its boxes.

use freehold_api::{
    AccountBoxes, AccountLog, AppendEntries, AppendedEntries, Blob, DeviceAddressList, DeviceAddressesPut,
    DeviceChallenge, DeviceChallengeRequest, DeviceSessionRequest, LoginFinish, LoginStart, LoginStarted,
    PasswordStart, PasswordStarted, RecoveryChallenge, RecoveryChallengeRequest, RecoverySessionRequest,
    RegisterFinish, RegisterStart, RegisterStarted, Session, path,
};
use freehold_model::DeviceId;

use super::{CoordError, ServerClient};

impl ServerClient {
    /// First step of a registration.
    ///
    /// # Errors
    /// `user_taken`, `bad_user`, `registration_closed`; see [`CoordError`].
    pub async fn register_start(&self, message: &RegisterStart) -> Result<RegisterStarted, CoordError> {
        self.post(path::REGISTER_START, message).await
    }

    /// Creates account, first device and first vault. May be repeated when the answer was lost.
    ///
    /// # Errors
    /// As [`Self::register_start`].
    pub async fn register_finish(&self, message: &RegisterFinish) -> Result<Session, CoordError> {
        self.post(path::REGISTER_FINISH, message).await
    }

    /// First step of a password login.
    ///
    /// # Errors
    /// See [`CoordError`]; an unknown name is not told apart here.
    pub async fn login_start(&self, message: &LoginStart) -> Result<LoginStarted, CoordError> {
        self.post(path::LOGIN_START, message).await
    }

    /// Second step; the session is of account scope.
    ///
    /// # Errors
    /// `bad_credentials`, `login_expired`; see [`CoordError`].
    pub async fn login_finish(&self, message: &LoginFinish) -> Result<Session, CoordError> {
        self.post(path::LOGIN_FINISH, message).await
    }

    /// A nonce for a device's proof of possession.
    ///
    /// # Errors
    /// See [`CoordError`]; an unknown device is not told apart here.
    pub async fn device_challenge(&self, device_id: DeviceId) -> Result<DeviceChallenge, CoordError> {
        self.post(path::DEVICE_CHALLENGE, &DeviceChallengeRequest { device_id }).await
    }

    /// Trades the proof for a session of device scope.
    ///
    /// # Errors
    /// `bad_proof`, `device_revoked`; see [`CoordError`].
    pub async fn device_session(&self, message: &DeviceSessionRequest) -> Result<Session, CoordError> {
        self.post(path::DEVICE_SESSION, message).await
    }

    /// A nonce for the proof that somebody holds a recovery key.
    ///
    /// # Errors
    /// See [`CoordError`]; an unknown key is not told apart here.
    pub async fn recovery_challenge(&self, path_id: [u8; 16]) -> Result<RecoveryChallenge, CoordError> {
        let request = RecoveryChallengeRequest { path_id: Blob::from(path_id) };
        self.post(path::RECOVERY_CHALLENGE, &request).await
    }

    /// Trades the proof for a session of account scope.
    ///
    /// # Errors
    /// `bad_recovery`; see [`CoordError`].
    pub async fn recovery_session(&self, message: &RecoverySessionRequest) -> Result<Session, CoordError> {
        self.post(path::RECOVERY_SESSION, message).await
    }

    /// Ends the session at the server and forgets it here.
    ///
    /// # Errors
    /// See [`CoordError`]; the session stays when the server could not be told.
    pub async fn logout(&self) -> Result<(), CoordError> {
        self.post_empty(path::LOGOUT).await?;
        self.clear_session();
        Ok(())
    }

    /// The whole account log; the caller verifies it.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn account_log(&self) -> Result<AccountLog, CoordError> {
        self.get(path::ACCOUNT_LOG).await
    }

    /// Appends entries that extend the log's head, all or none. May be repeated when the answer was lost.
    ///
    /// # Errors
    /// `log_conflict` when the head has moved on; see [`CoordError`].
    pub async fn append_entries(&self, message: &AppendEntries) -> Result<AppendedEntries, CoordError> {
        self.post(path::ACCOUNT_LOG, message).await
    }

    /// First step of a new password for the session's account.
    ///
    /// # Errors
    /// `bad_user` when the account has another name; see [`CoordError`].
    pub async fn password_start(&self, message: &PasswordStart) -> Result<PasswordStarted, CoordError> {
        self.post(path::PASSWORD_START, message).await
    }

    /// Leaves this device's signed statement of its addresses for the account's other devices.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn put_device_addresses(&self, message: &DeviceAddressesPut) -> Result<(), CoordError> {
        self.post_only(path::DEVICE_ADDRESSES, message).await
    }

    /// What the account's devices said of their addresses; the caller verifies it.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn device_addresses(&self) -> Result<DeviceAddressList, CoordError> {
        self.get(path::DEVICE_ADDRESSES).await
    }

    /// The account's sealed boxes.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn account_boxes(&self) -> Result<AccountBoxes, CoordError> {
        self.get(path::ACCOUNT_BOXES).await
    }
}
