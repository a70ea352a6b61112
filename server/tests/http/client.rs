//! A server in this process, and a client that holds real keys.

use axum::http::StatusCode;
use freehold_api::bulk::{PushCommit, PushRequest, PushVersion, ReceiptsRequest};
use freehold_api::{
    Blob, DeviceChallenge, DeviceChallengeRequest, DeviceSessionRequest, ErrorCode, KIND_VAULT_KEY,
    KeyBoxEntry, LoginFinish, LoginStart, LoginStarted, NodeJoin, NodeJoined, Problem, PushResponse,
    RegisterFinish, RegisterStart, RegisterStarted, Session, UnlockBoxEntry, UnlockPath, VaultBoxes, path,
};
use freehold_model::codec::{Encode, to_vec};
use freehold_model::{
    AccountId, ChunkId, CommitHash, DeviceId, Entropy, LogHash, NodeId, RecordId, VaultId, VaultTag,
    VersionHash,
};
use freehold_server::db::{MetaStore, SqliteStore};
use freehold_server::{App, Clock, ServerKeys, router};
use freehold_trust::account_log::{self, Genesis, LogEntry, LogStatement};
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};
use freehold_trust::opaque::{Login, OpaqueError, Parties, Registration};
use freehold_trust::{
    DeviceCert, DeviceName, KdfParams, PublicKey, Receipt, ReceivedChunk, SessionProof, SignKey,
    SignedDeviceCert, SignedReceipt, SignedSessionProof, XWingPublic,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use tempfile::TempDir;

pub(crate) const START: i64 = 1_700_000_000_000_000;

/// A running server.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) store: Arc<dyn MetaStore>,
    /// The same, when it is a file of this process, to shrink or damage.
    pub(crate) file: Option<SqliteStore>,
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    /// Its data, unless it runs elsewhere.
    pub(crate) _dir: Option<TempDir>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = SqliteStore::open(&dir.path().join("server.db"), START).await.expect("a database");
        let store: Arc<dyn MetaStore> = Arc::new(file.clone());
        let keys = ServerKeys::load_or_create(dir.path()).expect("keys");
        let clock = Clock::Manual(AtomicI64::new(START));
        let app = Arc::new(App::new(Arc::clone(&store), keys, clock));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { app, store, address, http: reqwest::Client::new(), file: Some(file), _dir: Some(dir) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.http.get(self.url(path)).bearer_auth(token)).await
    }

    pub(crate) async fn post<T: Serialize + Sync>(&self, path: &str, token: &str, message: &T) -> Answer {
        Answer::of(self.http.post(self.url(path)).bearer_auth(token).json(message)).await
    }

    pub(crate) async fn post_bulk<T: Encode + Sync>(&self, path: &str, token: &str, message: &T) -> Answer {
        let request = self.http.post(self.url(path)).bearer_auth(token);
        Answer::of(request.header("content-type", "application/octet-stream").body(to_vec(message))).await
    }

    /// Logs in with a password.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Result<Session, Option<ErrorCode>> {
        let finish = self.start_login(user, password).await.ok_or(None)?;
        let answer = self.post(path::LOGIN_FINISH, "", &finish).await;
        if answer.status == StatusCode::OK { Ok(answer.json()) } else { Err(Some(answer.code())) }
    }

    /// Everything up to the last request of a login; nothing when the password is wrong.
    pub(crate) async fn start_login(&self, user: &str, password: &str) -> Option<LoginFinish> {
        let server = self.app.keys().public();
        let (login, ke1) = Login::start(password.as_bytes(), &mut Random).expect("a fit password");
        let start = LoginStart { user: user.to_owned(), ke1: Blob(ke1) };
        let started: LoginStarted = self.post(path::LOGIN_START, "", &start).await.json();
        let parties = Parties { user: user.as_bytes(), server: &server };
        let kdf = KdfParams::new(started.kdf.m_kib, started.kdf.t, started.kdf.p).expect("fit parameters");
        let ke3 = match login.finish(started.ke2.as_slice(), &parties, &kdf, &mut Random) {
            Ok(result) => result.ke3,
            Err(OpaqueError::WrongLogin) => return None,
            Err(other) => panic!("the login broke: {other}"),
        };
        Some(LoginFinish { login_id: started.login_id, ke3: Blob(ke3) })
    }

    /// A session of a device by proof of possession.
    pub(crate) async fn device_session(&self, device: &Device) -> Answer {
        let request = self.prove(device).await;
        self.post(path::DEVICE_SESSION, "", &request).await
    }

    /// Everything up to the last request of a proof of possession.
    pub(crate) async fn prove(&self, device: &Device) -> DeviceSessionRequest {
        let request = DeviceChallengeRequest { device_id: device.id };
        let challenge: DeviceChallenge = self.post(path::DEVICE_CHALLENGE, "", &request).await.json();
        let nonce = challenge.nonce.to_array().expect("32 bytes");
        let proof = SessionProof { server: self.app.keys().public(), nonce, device: device.id };
        let signature = *SignedSessionProof::sign(proof, &device.sign).signature();
        DeviceSessionRequest {
            device_id: device.id,
            nonce: challenge.nonce,
            signature: Blob::from(signature.to_bytes()),
        }
    }

    /// Joins a storage node.
    pub(crate) async fn join_node(&self, n: u8) -> Node {
        let token = format!("token {n}");
        let hash = blake3::derive_key("freehold v1 server token", token.as_bytes());
        self.store.put_join_token(hash, i64::MAX).await.expect("a token");
        let key = SignKey::from_seed(&[n; 32]);
        let joined: NodeJoined = self.post(path::NODE_JOIN, "", &join_message(&token, &key)).await.json();
        Node { id: joined.node_id, key }
    }
}

pub(crate) fn join_message(token: &str, key: &SignKey) -> NodeJoin {
    NodeJoin {
        token: token.to_owned(),
        sign_pk: Blob::from(key.public().to_bytes()),
        tls_pk: Blob::from([9; 32]),
        addresses: vec!["127.0.0.1:9".to_owned()],
        zone: 1,
        capacity_bytes: 1 << 40,
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a body").to_vec() }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).expect("the message it should be")
    }

    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem");
        assert_eq!(self.status.as_u16(), problem.status);
        problem
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.problem().error_code().expect("a code this build knows")
    }
}

pub(crate) struct Random;

impl Entropy for Random {
    fn fill(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("randomness");
    }
}

/// A storage node's keys.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) key: SignKey,
}

impl Node {
    pub(crate) fn receipt(&self, vault_tag: VaultTag, chunk: ChunkId) -> Vec<u8> {
        self.receipt_of(vault_tag, &[chunk])
    }

    pub(crate) fn receipt_of(&self, vault_tag: VaultTag, chunks: &[ChunkId]) -> Vec<u8> {
        let chunks = chunks.iter().map(|id| ReceivedChunk { id: *id, len_bytes: 9 }).collect();
        SignedReceipt::sign(Receipt { node: self.id, vault_tag, time: 1, chunks }, &self.key).to_bytes()
    }
}

/// A device's keys.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) sign: SignKey,
    pub(crate) tls: PublicKey,
}

impl Device {
    pub(crate) fn new(n: u8) -> Self {
        let tls = SignKey::from_seed(&[n ^ 0x80; 32]).public();
        Self { id: DeviceId::from_bytes([n; 16]), sign: SignKey::from_seed(&[n; 32]), tls }
    }

    pub(crate) fn cert(&self, account: AccountId) -> SignedDeviceCert {
        let cert = DeviceCert {
            account,
            device: self.id,
            sign_pk: self.sign.public(),
            tls_pk: self.tls,
            xwing_pk: XWingPublic::from_bytes(&[self.id.to_bytes()[0]; 1216]),
            created: 1,
            name: DeviceName::new("a device").expect("a fit name"),
        };
        SignedDeviceCert::sign(cert, &self.sign)
    }
}

/// A registered user with one device and one vault.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) account: AccountId,
    pub(crate) vault: VaultId,
    pub(crate) device: Device,
    pub(crate) password_key: SignKey,
    pub(crate) recovery_key: SignKey,
    pub(crate) genesis: LogEntry,
    pub(crate) token: String,
    pub(crate) finish: RegisterFinish,
    pub(crate) seq: u64,
    pub(crate) prev: CommitHash,
}

impl User {
    /// Registers `user<n>` with the password `password<n>`.
    pub(crate) async fn register(server: &Server, n: u8) -> Self {
        let invite = server.invite_when_needed(n).await;
        let user = Self::prepare(server, n, invite).await;
        let session: Session = server.post(path::REGISTER_FINISH, "", &user.finish).await.json();
        assert_eq!(session.device_id, Some(user.device.id));
        Self { token: session.token, ..user }
    }

    /// Everything up to the last request of a registration.
    pub(crate) async fn prepare(server: &Server, n: u8, invite: Option<String>) -> Self {
        let (name, password) = (format!("user{n}"), format!("password{n}"));
        let (registration, request) =
            Registration::start(password.as_bytes(), &mut Random).expect("a fit password");
        let start = RegisterStart { user: name.clone(), request: Blob(request), invite: invite.clone() };
        let started: RegisterStarted = server.post(path::REGISTER_START, "", &start).await.json();
        let server_key = server.app.keys().public();
        let parties = Parties { user: name.as_bytes(), server: &server_key };
        let result = registration
            .finish(started.response.as_slice(), &parties, &KdfParams::FLOOR, &mut Random)
            .expect("a sound response");
        let (account, device) = (started.account_id, Device::new(n));
        let password_key = SignKey::from_seed(&[n ^ 0x40; 32]);
        let recovery_key = SignKey::from_seed(&[n ^ 0x20; 32]);
        let genesis = genesis(account, &device, &password_key, &recovery_key);
        let vault = VaultId::from_bytes([n; 16]);
        let finish = RegisterFinish {
            user: name.clone(),
            account_id: account,
            upload: Blob(result.upload),
            genesis: Blob(genesis.to_bytes()),
            boxes: boxes(&genesis),
            account_keys: Vec::new(),
            vault: VaultBoxes { vault_id: vault, boxes: vec![vault_key()] },
            user_box: Blob(vec![n; 206]),
            invite,
        };
        let (token, prev) = (String::new(), CommitHash::default());
        Self {
            name,
            account,
            vault,
            device,
            password_key,
            recovery_key,
            genesis,
            token,
            finish,
            seq: 0,
            prev,
        }
    }

    /// The same user with nothing sent yet, to vary one part of.
    pub(crate) fn afresh(user: &Self) -> Self {
        Self {
            name: user.name.clone(),
            account: user.account,
            vault: user.vault,
            device: Device::new(user.device.id.to_bytes()[0]),
            password_key: SignKey::from_seed(&[0; 32]),
            recovery_key: SignKey::from_seed(&[0; 32]),
            genesis: user.genesis.clone(),
            token: user.token.clone(),
            finish: user.finish.clone(),
            seq: 0,
            prev: CommitHash::default(),
        }
    }

    /// The next commit of the device, of one version.
    pub(crate) fn commit(&self, content: &[u8], refs: &[ChunkId]) -> PushCommit {
        self.commit_citing(self.genesis.hash(), content, refs)
    }

    pub(crate) fn commit_citing(&self, log_head: LogHash, content: &[u8], refs: &[ChunkId]) -> PushCommit {
        self.commit_under(log_head, 0, content, refs)
    }

    /// A commit under a membership of the vault.
    pub(crate) fn commit_of_epoch(&self, member_epoch: u32, content: &[u8]) -> PushCommit {
        self.commit_under(self.genesis.hash(), member_epoch, content, &[])
    }

    fn commit_under(
        &self,
        log_head: LogHash,
        member_epoch: u32,
        content: &[u8],
        refs: &[ChunkId],
    ) -> PushCommit {
        let hash = VersionHash::from_bytes(*blake3::hash(content).as_bytes());
        let record = RecordId::from_bytes([content[0]; 16]);
        let place = CommitPlace {
            vault: self.vault,
            device: self.device.id,
            incarnation: 1,
            seq: self.seq + 1,
            prev: self.prev,
            log_head,
            member_epoch,
            generation: 1,
        };
        let entry = CommitEntry { record, version: hash, supersedes: Vec::new() };
        let commit = Commit::sign(place, vec![entry], vec![1], &self.device.sign).expect("a sound commit");
        let version = PushVersion { record, hash, ciphertext: content.to_vec(), refs: refs.to_vec() };
        PushCommit { commit: commit.to_bytes(), versions: vec![version], manifests: Vec::new() }
    }

    /// Counts a commit as sent.
    pub(crate) fn advance(&mut self, commit: &PushCommit) {
        self.prev = Commit::from_bytes(&commit.commit).expect("our own commit").hash();
        self.seq += 1;
    }

    pub(crate) async fn push(&self, server: &Server, commits: &[PushCommit]) -> PushResponse {
        let request = PushRequest { commits: commits.to_vec() };
        server.post_bulk(&path::commits(&self.vault), &self.token, &request).await.json()
    }

    pub(crate) async fn send_receipts(&self, server: &Server, receipts: Vec<Vec<u8>>) -> Answer {
        server.post_bulk(&path::receipts(&self.vault), &self.token, &ReceiptsRequest { receipts }).await
    }
}

impl Server {
    /// An invite for everybody after the first.
    async fn invite_when_needed(&self, n: u8) -> Option<String> {
        if !self.store.has_accounts().await.expect("an answer") {
            return None;
        }
        let code = format!("invite {n}");
        let hash = blake3::derive_key("freehold v1 server token", code.as_bytes());
        self.store.put_invite(hash, i64::MAX).await.expect("an invite");
        Some(code)
    }
}

fn genesis(account: AccountId, device: &Device, password: &SignKey, recovery: &SignKey) -> LogEntry {
    let genesis = Genesis {
        password: unlock_path(200, password),
        recovery: unlock_path(201, recovery),
        device: device.cert(account),
        kdf: KdfParams::FLOOR,
    };
    let statement = LogStatement::genesis(account, 1, device.id, Box::new(genesis));
    LogEntry::sign_genesis(statement, &device.sign, password, recovery)
}

/// The public halves of a secret.
pub(crate) fn unlock_path(n: u8, key: &SignKey) -> account_log::UnlockPath {
    account_log::UnlockPath { xwing_pk: XWingPublic::from_bytes(&[n; 1216]), sign_pk: key.public() }
}

/// A box for every live path of a fresh account.
fn boxes(genesis: &LogEntry) -> Vec<UnlockBoxEntry> {
    let state = account_log::AccountState::replay(std::slice::from_ref(genesis)).expect("a sound genesis");
    let entry = |path: &account_log::PathId| UnlockBoxEntry {
        path: UnlockPath::from_u8(path.kind()).expect("a known kind"),
        path_id: Blob::from(path.id()),
        generation: 1,
        sealed: Blob(vec![7; 1200]),
    };
    state.live_paths().keys().map(entry).collect()
}

fn vault_key() -> KeyBoxEntry {
    KeyBoxEntry { kind: KIND_VAULT_KEY, generation: 1, wrapper_generation: 1, sealed: Blob(vec![8; 100]) }
}
