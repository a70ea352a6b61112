//! Golden vectors: the exact bytes of every format, recomputed from fixed seeds and compared.
//!
//! The files `tests/vectors/trust-*.json` at the root of the repository are shared with the web
//! client and frozen once released. To write them after a deliberate change of a format:
//! `FREEHOLD_BLESS=1 cargo test -p freehold-trust --test vectors`.

use freehold_model::{
    AccountId, ChunkId, CommitHash, DeviceId, Entropy, LogHash, NodeId, RecordId, VaultId, VaultTag,
    VersionHash,
};
use freehold_trust::account_log::{
    AccountState, Action, BoxRef, Cut, Genesis, LogEntry, LogStatement, NameDevice, RevokeDevice,
    RevokeIntent, Rotate, SecondKey, SetKdf, UnlockPath,
};
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};
use freehold_trust::opaque::{Login, Parties, Registration, ServerSetup, login_finish};
use freehold_trust::{
    Capability, DeviceAddresses, DeviceCert, DeviceName, Heartbeat, HolderHash, KdfParams, Label, Layout,
    LayoutNode, NodeCert, Ops, Receipt, ReceivedChunk, RecoveryProof, SessionProof, SignKey, Signed,
    SignedDeviceCert, XWingPublic, limits,
};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

const ACCOUNT: AccountId = AccountId::from_bytes([0xa0; 16]);
const VAULT: VaultId = VaultId::from_bytes([0xb0; 16]);
const NODE: NodeId = NodeId::from_bytes([0xc0; 16]);
const TIME: u64 = 1_767_225_600;

#[test]
fn signatures_match_their_vectors() {
    let key = SignKey::from_seed(&[0x11; 32]);
    let signatures: Map<String, Value> = Label::ALL
        .iter()
        .map(|label| (label.text().to_owned(), hex(key.sign(*label, b"message").as_bytes())))
        .collect();
    compare(
        "trust-signatures",
        &json!({
            "seed": hex(&[0x11; 32]),
            "public": hex(key.public().as_bytes()),
            "message": hex(b"message"),
            "signature_by_label": signatures,
        }),
    );
}

#[test]
fn statements_match_their_vectors() {
    let (server, node) = (SignKey::from_seed(&[0x22; 32]), SignKey::from_seed(&[0x23; 32]));
    let tls = SignKey::from_seed(&[0x24; 32]).public();
    let vault_tag = VaultTag::from_bytes([0xd0; 16]);
    let cert = NodeCert { node: NODE, sign_pk: node.public(), tls_pk: tls, zone: 7, created: TIME };
    let cert = Signed::sign(cert, &server);
    let capability = Capability {
        serial: [0x0c; 16],
        node: NODE,
        vault_tag,
        ops: Ops::ALL,
        max_bytes: 1 << 30,
        not_before: TIME,
        not_after: TIME + 3_600,
        holder: HolderHash::of(&tls),
    };
    let received = |n, len_bytes| ReceivedChunk { id: ChunkId::from_bytes([n; 32]), len_bytes };
    let chunks = vec![received(0xe0, 262_184), received(0xe1, 1_064)];
    let receipt = Receipt { node: NODE, vault_tag, time: TIME, chunks };
    let layout = Layout::new(3, TIME, 2, 1, vec![LayoutNode { weight: 100, cert: cert.clone() }]);
    let beat =
        Heartbeat::new(NODE, TIME, 4_096, 1 << 40, vec!["node.example:4433".into(), "[::1]:4433".into()]);
    let proof = SessionProof { server: server.public(), nonce: [0x5e; 32], device: device_id(1) };
    let recovery = RecoveryProof { server: server.public(), nonce: [0x5e; 32], path_id: [0x0d; 16] };
    let found = vec![
        "192.0.2.7:4711".parse().expect("an address"),
        "[2001:db8::7]:4711".parse().expect("an address"),
    ];
    let found = DeviceAddresses::new(ACCOUNT, device_id(1), TIME * 1_000, found);
    compare(
        "trust-statements",
        &json!({
            "server_seed": hex(&[0x22; 32]),
            "node_seed": hex(&[0x23; 32]),
            "tls_seed": hex(&[0x24; 32]),
            "device_seed": hex(&[0x01; 32]),
            "device_cert": hex(&device_cert(1).to_bytes()),
            "node_cert": hex(&cert.to_bytes()),
            "capability": hex(&Signed::sign(capability, &server).to_bytes()),
            "receipt": hex(&Signed::sign(receipt, &node).to_bytes()),
            "layout": hex(&Signed::sign(layout.expect("canonical"), &server).to_bytes()),
            "heartbeat": hex(&Signed::sign(beat.expect("printable"), &node).to_bytes()),
            "device_addresses": hex(&Signed::sign(found.expect("specified"), &device_key(1)).to_bytes()),
            "session_proof": hex(&Signed::sign(proof, &device_key(1)).to_bytes()),
            "recovery_seed": hex(&[0x70; 32]),
            "recovery_proof": hex(&Signed::sign(recovery, &path_key(0x70)).to_bytes()),
            "revoke_intent": hex(&revoke_intent(Vec::new()).to_bytes()),
        }),
    );
}

#[test]
fn the_account_log_matches_its_vectors() {
    let entries = account_log();
    let state = AccountState::replay(&entries).expect("a valid log");
    let listed: Vec<Value> = entries
        .iter()
        .map(|entry| json!({ "bytes": hex(&entry.to_bytes()), "hash": hex(entry.hash().as_bytes()) }))
        .collect();
    let paths: Vec<Value> =
        state.live_paths().keys().map(|path| json!({ "kind": path.kind(), "id": hex(&path.id()) })).collect();
    compare(
        "trust-account-log",
        &json!({
            "entries": listed,
            "state": {
                "head_seq": state.head_seq(),
                "generation": state.generation(),
                "rotation_due": state.rotation_due(),
                "live_paths": paths,
                "kdf": state.kdf(),
            },
        }),
    );
}

#[test]
fn commits_match_their_vectors() {
    let entry = |n: u8, supersedes: Vec<VersionHash>| CommitEntry {
        record: RecordId::from_bytes([n; 16]),
        version: VersionHash::from_bytes([n | 0x80; 32]),
        supersedes,
    };
    let place = CommitPlace {
        vault: VAULT,
        device: device_id(1),
        incarnation: 1,
        seq: 1,
        prev: CommitHash::default(),
        log_head: LogHash::from_bytes([0x10; 32]),
        member_epoch: 0,
        generation: 1,
    };
    let first = Commit::sign(place, vec![entry(2, vec![]), entry(1, vec![])], vec![0x5b; 64], &device_key(1))
        .expect("within limits");
    let replaced = entry(2, vec![VersionHash::from_bytes([0x82; 32]), VersionHash::from_bytes([0x12; 32])]);
    let replaced = CommitEntry { version: VersionHash::from_bytes([0x92; 32]), ..replaced };
    let second = CommitPlace { seq: 2, prev: first.hash(), ..place };
    let second = Commit::sign(second, vec![replaced], vec![], &device_key(1)).expect("within limits");
    let listed: Vec<Value> = [first, second]
        .iter()
        .map(|commit| {
            json!({
                "bytes": hex(&commit.to_bytes()),
                "hash": hex(commit.hash().as_bytes()),
                "records_root": hex(commit.header().records_root.as_bytes()),
            })
        })
        .collect();
    compare("trust-commits", &json!({ "device_seed": hex(&[0x01; 32]), "commits": listed }));
}

#[test]
fn a_password_login_matches_its_vectors() {
    let server = SignKey::from_seed(&[0x22; 32]).public();
    let parties = Parties { user: b"ana", server: &server };
    let (password, kdf) = (b"correct horse battery staple", KdfParams::FLOOR);
    let setup = ServerSetup::generate(&mut Seeded::new(1));
    let (client, request) = Registration::start(password, &mut Seeded::new(2)).expect("starts");
    let response = setup.registration_response(&request, b"ana").expect("answers");
    let registered = client.finish(&response, &parties, &kdf, &mut Seeded::new(3)).expect("registers");
    let record = ServerSetup::registration_record(&registered.upload).expect("a record");
    let (client, ke1) = Login::start(password, &mut Seeded::new(4)).expect("starts");
    let started = setup.login_start(Some(&record), &ke1, &parties, &mut Seeded::new(5)).expect("answers");
    let client = client.finish(&started.ke2, &parties, &kdf, &mut Seeded::new(6)).expect("logs in");
    let session_key = login_finish(&started.state, &client.ke3, &parties).expect("agrees");
    assert_eq!((&client.export_key, &client.session_key), (&registered.export_key, &session_key));
    compare(
        "trust-opaque",
        &json!({
            "entropy": "XOF of BLAKE3 derive_key(\"freehold v1 test entropy\", seed as u64 big-endian), seeds 1 to 6 in order of use",
            "password": hex(password),
            "user": hex(b"ana"),
            "server_sign_pk": hex(server.as_bytes()),
            "kdf": kdf,
            "setup": hex(&setup.to_bytes()),
            "request": hex(&request),
            "response": hex(&response),
            "record": hex(&record),
            "ke1": hex(&ke1),
            "ke2": hex(&started.ke2),
            "ke3": hex(&client.ke3),
            "export_key": hex(&client.export_key[..]),
            "session_key": hex(&session_key[..]),
        }),
    );
}

/// Device 1 revokes device 2 with the recovery key.
fn revoke_intent(cuts: Vec<Cut>) -> RevokeIntent {
    let revoke = RevokeDevice::new(ACCOUNT, device_id(2), device_id(1), TIME, cuts).expect("canonical");
    RevokeIntent::sign(revoke, &device_key(1), SecondKey::Recovery, &path_key(0x70))
}

/// Genesis, a device by itself, a rotation, another name, a revocation, a new recovery key, a new
/// password.
fn account_log() -> Vec<LogEntry> {
    let genesis = Genesis {
        password: path(0x60),
        recovery: path(0x70),
        device: device_cert(1),
        kdf: KdfParams::DEFAULT,
    };
    let statement = LogStatement::genesis(ACCOUNT, TIME, device_id(1), Box::new(genesis));
    let mut log = vec![LogEntry::sign_genesis(statement, &device_key(1), &path_key(0x60), &path_key(0x70))];
    let add = Action::AddDevice(Box::new(device_cert(2)));
    twice(&mut log, 2, add, SecondKey::Password, 0x60);
    let boxes = AccountState::replay(&log).expect("a valid log").live_paths().into_keys().collect::<Vec<_>>();
    let boxes = boxes.into_iter().map(|path| BoxRef { path, hash: [0x0b; 32] }).collect();
    let rotate = Action::Rotate(Rotate::new(2, boxes).expect("canonical"));
    let next =
        AccountState::replay(&log).expect("a valid log").next_statement(device_id(1), TIME + 2, rotate);
    log.push(LogEntry::sign(next, &device_key(1)));
    let cut = Cut { vault: VAULT, incarnation: 1, seq: 17 };
    let state = AccountState::replay(&log).expect("a valid log");
    let name = NameDevice { device: device_id(2), name: DeviceName::new("attic").expect("a name") };
    let name = state.next_statement(device_id(1), TIME + 3, Action::NameDevice(name));
    log.push(LogEntry::sign(name, &device_key(1)));
    let revoke = Action::RevokeDevice(Box::new(revoke_intent(vec![cut])));
    let state = AccountState::replay(&log).expect("a valid log");
    log.push(LogEntry::sign(state.next_statement(device_id(1), TIME + 4, revoke), &device_key(1)));
    installing(&mut log, Action::SetRecovery(Box::new(path(0x71))), (SecondKey::Password, 0x60), 0x71);
    let set = SetKdf { kdf: KdfParams::FLOOR, password: path(0x61) };
    installing(&mut log, Action::SetKdf(Box::new(set)), (SecondKey::Recovery, 0x71), 0x61);
    log
}

fn twice(log: &mut Vec<LogEntry>, signer: u8, action: Action, which: SecondKey, secret: u8) {
    let state = AccountState::replay(log).expect("a valid log");
    let statement = state.next_statement(device_id(signer), TIME + 1, action);
    log.push(LogEntry::sign_twice(statement, &device_key(signer), which, &path_key(secret)));
}

fn installing(log: &mut Vec<LogEntry>, action: Action, (which, secret): (SecondKey, u8), new: u8) {
    let state = AccountState::replay(log).expect("a valid log");
    let statement = state.next_statement(device_id(1), TIME + 1, action);
    let (secret, new) = (path_key(secret), path_key(new));
    log.push(LogEntry::sign_installing(statement, &device_key(1), which, &secret, &new));
}

fn device_id(id: u8) -> DeviceId {
    DeviceId::from_bytes([id; 16])
}

fn device_key(id: u8) -> SignKey {
    SignKey::from_seed(&[id; 32])
}

fn path_key(id: u8) -> SignKey {
    SignKey::from_seed(&[id; 32])
}

fn path(id: u8) -> UnlockPath {
    let sign_pk = path_key(id).public();
    UnlockPath { xwing_pk: XWingPublic::from_bytes(&[id; limits::XWING_PUBLIC_BYTES]), sign_pk }
}

fn device_cert(id: u8) -> SignedDeviceCert {
    let cert = DeviceCert {
        account: ACCOUNT,
        device: device_id(id),
        sign_pk: device_key(id).public(),
        tls_pk: SignKey::from_seed(&[id | 0x40; 32]).public(),
        xwing_pk: XWingPublic::from_bytes(&[id; limits::XWING_PUBLIC_BYTES]),
        created: TIME,
        name: DeviceName::new("laptop").expect("a name"),
    };
    Signed::sign(cert, &device_key(id))
}

fn hex(bytes: &[u8]) -> Value {
    Value::String(hex::encode(bytes))
}

/// Compares a value with its file, or writes the file when `FREEHOLD_BLESS=1`.
fn compare(name: &str, value: &Value) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(value).expect("plain JSON") + "\n";
    if std::env::var_os("FREEHOLD_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("creates the directory");
        std::fs::write(&path, &text).expect("writes the vector");
    }
    let stored = std::fs::read_to_string(&path).expect("the vector file is in the repository");
    assert_eq!(stored, text, "{name}: the bytes of a released format changed");
}

struct Seeded(blake3::OutputReader);

impl Seeded {
    fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("freehold v1 test entropy");
        hasher.update(&seed.to_be_bytes());
        Self(hasher.finalize_xof())
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}
