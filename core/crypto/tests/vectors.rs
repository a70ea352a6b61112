//! Golden vectors: every format recomputed byte for byte from the inputs written beside it.
//!
//! `FREEHOLD_BLESS=1` writes `tests/vectors/crypto-*.json`; without it the files must already say
//! exactly what this build computes. They are frozen once released; the web client reads them too.
//! Inputs called `xof` are the first bytes of BLAKE3's extendable output of the given text, and
//! `entropy` names the text whose output stands in for the random generator.

use freehold_crypto::{
    AccountRoot, Cek, ChunkKey, ChunkPayload, CommitContext, Compression, DeviceSecret, KeyBoxHeader,
    LocalCipher, LocalPurpose, RecoveryKey, RootKey, Secret32, UnlockBox, UnlockContent, UnlockKeys,
    VaultKey, VaultKeyring, open_chunk, seal_user,
};
use freehold_model::{AccountId, DeviceId, Entropy, FileId, LogHash, VaultId};
use freehold_trust::account_log::PathId;
use serde_json::{Value, json};
use std::path::Path;

const ACCOUNT: AccountId = AccountId::from_bytes([0xa1; 16]);
const VAULT: VaultId = VaultId::from_bytes([0xb2; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([0xc3; 16]);
const VAULT_KEYS: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];

struct Xof(blake3::OutputReader);

impl Entropy for Xof {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

fn entropy(text: &str) -> Xof {
    Xof(blake3::Hasher::new().update(text.as_bytes()).finalize_xof())
}

fn xof(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    entropy(text).fill(&mut bytes);
    bytes
}

fn keyring() -> VaultKeyring {
    let keys = VAULT_KEYS
        .iter()
        .zip(1..)
        .map(|(key, generation)| VaultKey::from_parts(generation, Secret32::from_bytes(*key)));
    VaultKeyring::new(VAULT, keys.collect()).expect("generations 1 and 2")
}

/// Long outputs are given by hash, length and edges; short ones in full.
fn output(bytes: &[u8]) -> Value {
    let hash = blake3::hash(bytes).to_hex().to_string();
    if bytes.len() <= 1_500 {
        json!({ "len": bytes.len(), "blake3": hash, "hex": hex::encode(bytes) })
    } else {
        let (first, last) = (&bytes[..64], &bytes[bytes.len() - 32..]);
        json!({ "len": bytes.len(), "blake3": hash, "first_64": hex::encode(first), "last_32": hex::encode(last) })
    }
}

#[track_caller]
fn check(name: &str, format: &str, given: &Value, cases: &[Value]) {
    let document = json!({ "format": format, "suite": 1, "given": given, "cases": cases });
    let text = serde_json::to_string_pretty(&document).expect("plain values") + "\n";
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(format!("crypto-{name}.json"));
    if std::env::var_os("FREEHOLD_BLESS").is_some() {
        std::fs::write(&path, text).expect("the vectors directory is writable");
    } else {
        let frozen = std::fs::read_to_string(&path).expect("run once with FREEHOLD_BLESS=1");
        assert!(frozen == text, "{name}: this build computes other bytes than the frozen vector");
    }
}

fn vault_given() -> Value {
    json!({ "vault": VAULT, "vault_keys": VAULT_KEYS.map(hex::encode) })
}

#[test]
fn chunk_vectors_hold() {
    let keyring = keyring();
    let lens = [0, 1, 2_049, 16_379, 16_380, 16_381, 16_383, 16_384, 16_385, 65_536, 262_144];
    let mut cases = Vec::new();
    for (len, compression) in
        lens.map(|len| (len, Compression::None)).into_iter().chain([(1_000, Compression::Zstd)])
    {
        let body = xof("chunk body", len);
        let chunk = keyring.seal_chunk(&ChunkPayload { compression, body: (&body).into() });
        assert_eq!(open_chunk(&chunk.key, &chunk.bytes).map(|opened| opened.body.into_owned()), Ok(body));
        cases.push(json!({
            "body": { "xof": "chunk body", "len": len }, "zstd": compression == Compression::Zstd,
            "key": hex::encode(chunk.key.expose()), "id": chunk.id, "sealed": output(&chunk.bytes),
        }));
    }
    check("chunk", "FHC1", &vault_given(), &cases);
}

#[test]
fn root_vectors_hold() {
    let cek = Cek::from_bytes([0x33; 32]);
    let case = |len| {
        let plain = xof("root body", len);
        let root = cek.seal_root(&plain);
        let key = cek.root_key(&root.salt);
        assert_eq!(RootKey::from_bytes(*key.expose()).open(&root.bytes), Ok(plain));
        json!({
            "body": { "xof": "root body", "len": len }, "salt": hex::encode(root.salt.as_bytes()),
            "root_key": hex::encode(key.expose()), "id": root.id, "sealed": output(&root.bytes),
        })
    };
    check("root", "FHC1", &json!({ "cek": hex::encode(cek.expose()) }), &[0, 84, 10_752].map(case));
}

#[test]
fn record_vectors_hold() {
    let (keyring, file) = (keyring(), FileId::from_bytes([0x44; 16]));
    let record = keyring.record_id(&file);
    let case = |len| {
        let plain = xof("record", len);
        let sealed = keyring.seal_record(&record, &plain);
        assert_eq!(keyring.open_record(&record, &sealed), Ok(plain));
        json!({ "plain": { "xof": "record", "len": len }, "sealed": output(&sealed) })
    };
    let mut given = vault_given();
    given["file"] = json!(file);
    given["record"] = json!(record);
    given["dedup_hash_of_xof_record_100"] = json!(hex::encode(keyring.dedup_hash(&xof("record", 100))));
    check("record", "FHR1", &given, &[0, 1, 252, 253, 4_092, 4_093].map(case));
}

#[test]
fn commit_body_vectors_hold() {
    let keyring = keyring();
    let case = |(incarnation, seq, len)| {
        let (context, plain) = (CommitContext { device: DEVICE, incarnation, seq }, xof("commit body", len));
        let sealed = keyring.seal_commit_body(&context, &plain);
        assert_eq!(keyring.open_commit_body(&context, &sealed), Ok(plain));
        json!({
            "device": DEVICE, "incarnation": incarnation, "seq": seq,
            "plain": { "xof": "commit body", "len": len }, "sealed": output(&sealed),
        })
    };
    check("commit-body", "FHB1", &vault_given(), &[(0, 1, 60), (1, 1, 60), (0, u64::MAX, 0)].map(case));
}

#[test]
fn heads_vectors_hold() {
    let keyring = keyring();
    let case = |len| {
        let plain = xof("heads", len);
        let sealed = keyring.seal_heads(&plain);
        assert_eq!(keyring.open_heads(&sealed), Ok(plain));
        json!({ "plain": { "xof": "heads", "len": len }, "sealed": output(&sealed) })
    };
    check("heads", "FHD1", &vault_given(), &[5, 255, 32_005].map(case));
}

#[test]
fn key_box_vectors_hold() {
    let root = |generation, byte| AccountRoot::from_parts(generation, Secret32::from_bytes([byte; 32]));
    let key = |generation: u32| {
        VaultKey::from_parts(generation, Secret32::from_bytes(VAULT_KEYS[generation as usize - 1]))
    };
    let (first, second) = (root(1, 0x55), root(2, 0x66));
    let boxes = [
        (
            "vault key 2 under root 2",
            second.seal_vault_key(&ACCOUNT, &VAULT, &key(2), &mut entropy("key box")),
        ),
        ("vault key 1 under vault key 2", key(2).seal_previous(&VAULT, &key(1), &mut entropy("key box"))),
        ("root 1 under root 2", second.seal_previous(&ACCOUNT, &first, &mut entropy("key box"))),
    ];
    assert_eq!(second.open_vault_key(&ACCOUNT, &VAULT, 2, &boxes[0].1), Ok(key(2)));
    assert_eq!(key(2).open_previous(&VAULT, &boxes[1].1), Ok(key(1)));
    assert_eq!(second.open_previous(&ACCOUNT, &boxes[2].1), Ok(first));
    let cases = boxes.map(|(what, sealed)| {
        let header = KeyBoxHeader::read(&sealed).expect("a box");
        json!({ "what": what, "generation": header.generation, "sealed": output(&sealed) })
    });
    let given = json!({
        "account": ACCOUNT, "vault": VAULT, "root_1": hex::encode([0x55; 32]), "root_2": hex::encode([0x66; 32]),
        "vault_keys": VAULT_KEYS.map(hex::encode), "entropy": "key box",
    });
    check("keybox", "FHKB", &given, &cases);
}

#[test]
fn unlock_vectors_hold() {
    let export_key: [u8; 64] = xof("export key", 64).try_into().expect("64 bytes");
    let recovery_key = RecoveryKey::from_bytes([0x77; 32]);
    let device = DeviceSecret::from_bytes([0x88; 32]);
    let password = UnlockKeys::from_password(&export_key, &ACCOUNT);
    let recovery = UnlockKeys::from_recovery(&recovery_key);
    let paths = [
        ("password", password.path_id(), password.public().xwing_pk.clone(), password.pair()),
        ("recovery", recovery.path_id(), recovery.public().xwing_pk.clone(), recovery.pair()),
        ("device", PathId::Device(DEVICE), device.xwing_pair().public(), &device.xwing_pair()),
    ];
    let content = UnlockContent {
        account: ACCOUNT,
        genesis: LogHash::from_bytes([0xd4; 32]),
        log_head: LogHash::from_bytes([0xe5; 32]),
        root: AccountRoot::from_parts(2, Secret32::from_bytes([0x66; 32])),
    };
    let cases = paths.map(|(what, path, public, pair)| {
        let signer = device.sign_key();
        let sealed = UnlockBox::seal(&content, path, &public, (DEVICE, &signer), &mut entropy("unlock box"))
            .expect("a derived public key");
        let read = UnlockBox::from_bytes(sealed.as_bytes()).expect("a box");
        assert_eq!(read.open(pair, &signer.public()).as_ref(), Ok(&content));
        json!({
            "path": what, "path_id": hex::encode(path.id()), "xwing_public": output(public.as_bytes()),
            "sealed": output(sealed.as_bytes()),
        })
    });
    let user_box = seal_user(&recovery, &ACCOUNT, "eva", &mut entropy("user box")).expect("a fit name");
    let given = json!({
        "user": "eva", "user_box_entropy": "user box", "user_box": hex::encode(user_box),
        "account": ACCOUNT, "export_key": hex::encode(export_key), "device": DEVICE,
        "recovery_words": recovery_key.words().as_str(), "recovery_key": hex::encode(recovery_key.expose()),
        "device_secret": hex::encode(device.expose()), "signer": device.sign_key().public().to_string(),
        "password_second_signer": password.public().sign_pk.to_string(),
        "recovery_second_signer": recovery.public().sign_pk.to_string(),
        "genesis": content.genesis, "log_head": content.log_head,
        "root": hex::encode(content.root.expose()), "root_generation": 2, "entropy": "unlock box",
    });
    check("unlock", "FHUB", &given, &cases);
}

#[test]
fn device_and_local_vectors_hold() {
    let device = DeviceSecret::from_bytes([0x88; 32]);
    let purposes = [
        ("journal frame", LocalPurpose::JournalFrame, LocalCipher::XChaCha),
        ("staging extent", LocalPurpose::StagingExtent, LocalCipher::XChaCha),
        ("staging extent, AES-256-GCM", LocalPurpose::StagingExtent, LocalCipher::AesGcm),
        ("index row", LocalPurpose::IndexRow, LocalCipher::XChaCha),
        ("state file", LocalPurpose::StateFile, LocalCipher::XChaCha),
    ];
    let cases = purposes.map(|(what, purpose, cipher)| {
        let local = device.local_key().with_staging_cipher(cipher);
        let sealed = local.seal(purpose, b"place", b"plaintext", &mut entropy("local"));
        assert_eq!(local.open(purpose, b"place", &sealed).as_deref(), Ok(&b"plaintext"[..]));
        json!({ "purpose": what, "aad": "place", "plain": "plaintext", "sealed": output(&sealed) })
    });
    let given = json!({
        "device_secret": hex::encode(device.expose()), "sign_public": device.sign_key().public().to_string(),
        "tls_seed": hex::encode(device.tls_seed().expose()),
        "xwing_public": output(device.xwing_pair().public().as_bytes()), "entropy": "local",
    });
    check("device", "local", &given, &cases);
}

/// The worked example of `docs/format.md`.
#[test]
fn the_documented_chunk_is_the_one_computed() {
    let payload = ChunkPayload { compression: Compression::None, body: b"freehold!"[..].into() };
    let chunk = keyring().seal_chunk(&payload);
    assert_eq!(open_chunk(&ChunkKey::from_bytes(*chunk.key.expose()), &chunk.bytes), Ok(payload));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let page: String = std::fs::read_to_string(page).expect("the format page").split_whitespace().collect();
    for shown in [hex::encode(&chunk.bytes), hex::encode(chunk.key.expose()), chunk.id.to_string()] {
        assert!(page.contains(&shown), "docs/format.md lacks {shown}");
    }
}
