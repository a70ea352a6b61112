//! Changes of an account, built entry by entry as a client does, with real signatures.

use crate::client::{Answer, Device, Random, Server, User, unlock_path};
use freehold_api::{
    AccountLog, AppendEntries, Blob, KIND_PREVIOUS_ROOT, KIND_PREVIOUS_VAULT_KEY, KIND_VAULT_KEY,
    KeyBoxEntry, NewLogin, PasswordStart, PasswordStarted, RecoveryChallenge, RecoveryChallengeRequest,
    RecoverySessionRequest, UnlockBoxEntry, UnlockPath, VaultBoxes, path,
};
use freehold_model::VaultId;
use freehold_trust::account_log::{
    AccountState, Action, BoxRef, LogEntry, PathId, RevokeDevice, RevokeIntent, Rotate, SecondKey, SetKdf,
};
use freehold_trust::opaque::{Parties, Registration};
use freehold_trust::{KdfParams, RecoveryProof, SignKey, SignedRecoveryProof};

/// A message to the account log under way.
pub(crate) struct Change {
    pub(crate) state: AccountState,
    pub(crate) message: AppendEntries,
    vault: VaultId,
}

impl Change {
    /// Starts from the log as the server shows it.
    pub(crate) async fn of(server: &Server, user: &User) -> Self {
        Self::read(server, user, &user.token).await
    }

    pub(crate) async fn read(server: &Server, user: &User, token: &str) -> Self {
        let log: AccountLog = server.get(path::ACCOUNT_LOG, token).await.json();
        let read = |entry: &Blob| LogEntry::from_bytes(entry.as_slice()).expect("an entry");
        let entries: Vec<LogEntry> = log.entries.iter().map(read).collect();
        let state = AccountState::replay(&entries).expect("a sound log");
        Self { state, message: AppendEntries::default(), vault: user.vault }
    }

    /// Adds an entry that may break a rule.
    pub(crate) fn raw(mut self, entry: &LogEntry) -> Self {
        // A broken entry is for the server to refuse; the rest then starts from the state before it.
        let _ = self.state.append(entry);
        self.message.entries.push(Blob(entry.to_bytes()));
        self
    }

    pub(crate) fn sign(self, by: &Device, action: Action) -> Self {
        let entry = LogEntry::sign(self.state.next_statement(by.id, 2, action), &by.sign);
        self.raw(&entry)
    }

    pub(crate) fn sign_twice(self, by: &Device, action: Action, which: SecondKey, secret: &SignKey) -> Self {
        let statement = self.state.next_statement(by.id, 2, action);
        let entry = LogEntry::sign_twice(statement, &by.sign, which, secret);
        self.raw(&entry)
    }

    pub(crate) fn add(self, by: &Device, device: &Device, which: SecondKey, secret: &SignKey) -> Self {
        let cert = Box::new(device.cert(self.state.account()));
        self.sign_twice(by, Action::AddDevice(cert), which, secret)
    }

    pub(crate) fn revoke(self, by: &Device, device: &Device, which: SecondKey, secret: &SignKey) -> Self {
        let revoke = RevokeDevice::new(self.state.account(), device.id, by.id, 2, Vec::new());
        let intent = RevokeIntent::sign(revoke.expect("no cuts"), &by.sign, which, secret);
        self.sign(by, Action::RevokeDevice(Box::new(intent)))
    }

    pub(crate) fn set_recovery(self, by: &Device, n: u8, which: SecondKey, secret: &SignKey) -> Self {
        let new = new_secret(n);
        let action = Action::SetRecovery(Box::new(unlock_path(n, &new)));
        let mut change = self.install(by, action, (which, secret), &new);
        change.message.user_box = Some(Blob(vec![n; 206]));
        change
    }

    pub(crate) fn set_password(self, by: &Device, n: u8, which: SecondKey, secret: &SignKey) -> Self {
        let new = new_secret(n);
        let set = SetKdf { kdf: KdfParams::FLOOR, password: unlock_path(n, &new) };
        self.install(by, Action::SetKdf(Box::new(set)), (which, secret), &new)
    }

    fn install(self, by: &Device, action: Action, second: (SecondKey, &SignKey), new: &SignKey) -> Self {
        let statement = self.state.next_statement(by.id, 2, action);
        let entry = LogEntry::sign_installing(statement, &by.sign, second.0, second.1, new);
        self.raw(&entry)
    }

    /// Rotates, with every box that belongs to it.
    pub(crate) fn rotate(mut self, by: &Device) -> Self {
        let generation = self.state.generation() + 1;
        let paths: Vec<PathId> = self.state.live_paths().into_keys().collect();
        let boxes: Vec<UnlockBoxEntry> = paths.iter().map(|path| root_box(path, generation)).collect();
        let hashes = paths.iter().zip(&boxes);
        let refs = hashes.map(|(path, sealed)| BoxRef {
            path: *path,
            hash: *blake3::hash(sealed.sealed.as_slice()).as_bytes(),
        });
        let rotate = Rotate::new(generation, refs.collect()).expect("canonical");
        self.message.boxes = boxes;
        self.message.account_keys = vec![key(KIND_PREVIOUS_ROOT, generation - 1, generation)];
        self.message.vault_keys = vec![VaultBoxes {
            vault_id: self.vault,
            boxes: vec![
                key(KIND_VAULT_KEY, generation, generation),
                key(KIND_PREVIOUS_VAULT_KEY, generation - 1, generation),
            ],
        }];
        self.sign(by, Action::Rotate(rotate))
    }

    /// A box for a path that came without a rotation.
    pub(crate) fn with_box(mut self, path: &PathId) -> Self {
        self.message.boxes.push(root_box(path, self.state.generation()));
        self
    }

    pub(crate) async fn send(&self, server: &Server, token: &str) -> Answer {
        server.post(path::ACCOUNT_LOG, token, &self.message).await
    }
}

/// The key of a new secret.
pub(crate) fn new_secret(n: u8) -> SignKey {
    SignKey::from_seed(&[n; 32])
}

pub(crate) fn root_box(path: &PathId, generation: u32) -> UnlockBoxEntry {
    UnlockBoxEntry {
        path: UnlockPath::from_u8(path.kind()).expect("a known kind"),
        path_id: Blob::from(path.id()),
        generation,
        sealed: Blob(vec![path.kind() ^ generation as u8; 1200]),
    }
}

pub(crate) fn key(kind: u8, generation: u32, wrapper_generation: u32) -> KeyBoxEntry {
    KeyBoxEntry { kind, generation, wrapper_generation, sealed: Blob(vec![kind; 146]) }
}

/// The login record of a new password, by both OPAQUE steps.
pub(crate) async fn new_login(server: &Server, token: &str, user: &str, password: &str) -> NewLogin {
    let (registration, request) = Registration::start(password.as_bytes(), &mut Random).expect("fit");
    let start = PasswordStart { user: user.to_owned(), request: Blob(request) };
    let started: PasswordStarted = server.post(path::PASSWORD_START, token, &start).await.json();
    let server_key = server.app.keys().public();
    let parties = Parties { user: user.as_bytes(), server: &server_key };
    let result = registration
        .finish(started.response.as_slice(), &parties, &KdfParams::FLOOR, &mut Random)
        .expect("a sound response");
    NewLogin { user: user.to_owned(), upload: Blob(result.upload) }
}

/// A proof for a session by recovery key, not sent yet.
pub(crate) async fn recovery_proof(
    server: &Server,
    path_id: [u8; 16],
    key: &SignKey,
) -> RecoverySessionRequest {
    let request = RecoveryChallengeRequest { path_id: Blob::from(path_id) };
    let challenge: RecoveryChallenge = server.post(path::RECOVERY_CHALLENGE, "", &request).await.json();
    let nonce = challenge.nonce.to_array().expect("32 bytes");
    let proof = RecoveryProof { server: server.app.keys().public(), nonce, path_id };
    let signature = *SignedRecoveryProof::sign(proof, key).signature();
    let signature = Blob::from(signature.to_bytes());
    RecoverySessionRequest { path_id: Blob::from(path_id), nonce: challenge.nonce, signature }
}
