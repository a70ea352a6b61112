//! After a revocation and the loss of every device, the password alone and the recovery key alone
//! read what was written since; the revoked device reads nothing of it.

use freehold_crypto::{
    AccountKeyring, AccountRoot, ChunkPayload, Compression, DeviceSecret, OpenError, RecoveryKey, UnlockBox,
    UnlockContent, UnlockKeys, VaultKey, VaultKeyring, open_chunk,
};
use freehold_model::{AccountId, DeviceId, Entropy, FileId, LogHash, VaultId};
use freehold_trust::account_log::PathId;
use freehold_trust::{PublicKey, XWingPublic};

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
const VAULT: VaultId = VaultId::from_bytes([2; 16]);
const LAPTOP: DeviceId = DeviceId::from_bytes([3; 16]);
const FILE: FileId = FileId::from_bytes([4; 16]);

struct Seeded(blake3::OutputReader);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// What the server keeps: sealed boxes and nothing else.
struct Server {
    unlock: Vec<UnlockBox>,
    roots: Vec<Vec<u8>>,
    vault: Vec<Vec<u8>>,
    laptop: PublicKey,
}

impl Server {
    /// Logs in by one path: the newest box of the path, then every chain.
    fn open(&self, path: PathId, pair: &freehold_crypto::XWingPair) -> (AccountKeyring, VaultKeyring) {
        let newest = self
            .unlock
            .iter()
            .filter(|sealed| sealed.path() == path)
            .max_by_key(|sealed| sealed.generation());
        let content = newest.expect("a box for every live path").open(pair, &self.laptop).expect("ours");
        let account = AccountKeyring::unfold(ACCOUNT, content.root, self.roots.iter().map(Vec::as_slice))
            .expect("chain");
        let vault = account.open_vault(VAULT, self.vault.iter().map(Vec::as_slice)).expect("chain");
        (account, vault)
    }
}

fn seal_root(
    root: &AccountRoot,
    paths: &[(PathId, XWingPublic)],
    laptop: &DeviceSecret,
    entropy: &mut Seeded,
) -> Vec<UnlockBox> {
    let content = UnlockContent {
        account: ACCOUNT,
        genesis: LogHash::from_bytes([5; 32]),
        log_head: LogHash::from_bytes([6; 32]),
        root: AccountRoot::from_parts(
            root.generation(),
            freehold_crypto::Secret32::from_bytes(*root.expose()),
        ),
    };
    let seal = |(path, public): &(PathId, XWingPublic)| {
        UnlockBox::seal(&content, *path, public, (LAPTOP, &laptop.sign_key()), entropy)
            .expect("derived public keys")
    };
    paths.iter().map(seal).collect()
}

#[test]
fn password_and_recovery_key_each_read_what_was_written_after_a_revocation() {
    let mut entropy = Seeded(blake3::Hasher::new().update(b"rotation").finalize_xof());
    let (laptop, phone) = (DeviceSecret::generate(&mut entropy), DeviceSecret::generate(&mut entropy));
    let phone_id = PathId::Device(DeviceId::from_bytes([7; 16]));
    let export_key = [8; 64];
    let password = UnlockKeys::from_password(&export_key, &ACCOUNT);
    let recovery_words = RecoveryKey::generate(&mut entropy).words();
    let recovery = UnlockKeys::from_recovery(&RecoveryKey::from_words(&recovery_words).expect("24 words"));
    let lasting = [
        (password.path_id(), password.public().xwing_pk.clone()),
        (recovery.path_id(), recovery.public().xwing_pk.clone()),
    ];

    let (root, key) = (AccountRoot::generate(&mut entropy), VaultKey::generate(&mut entropy));
    let mut paths = lasting.to_vec();
    paths.push((phone_id, phone.xwing_pair().public()));
    let mut server = Server {
        unlock: seal_root(&root, &paths, &laptop, &mut entropy),
        roots: Vec::new(),
        vault: vec![root.seal_vault_key(&ACCOUNT, &VAULT, &key, &mut entropy)],
        laptop: laptop.sign_key().public(),
    };
    let (_, phone_vault) = server.open(phone_id, &phone.xwing_pair());
    let record = phone_vault.record_id(&FILE);
    let before = phone_vault.seal_record(&record, b"before the revocation");

    // The laptop revokes the phone: a new root for the paths that remain, a new vault key.
    let (next_root, next_key) = (root.rotate(&mut entropy), key.rotate(&mut entropy));
    server.unlock.extend(seal_root(&next_root, &lasting, &laptop, &mut entropy));
    server.roots.push(next_root.seal_previous(&ACCOUNT, &root, &mut entropy));
    server.vault.push(next_root.seal_vault_key(&ACCOUNT, &VAULT, &next_key, &mut entropy));
    server.vault.push(next_key.seal_previous(&VAULT, &key, &mut entropy));
    let laptop_vault = VaultKeyring::new(VAULT, vec![next_key, key]).expect("both generations");
    let after = laptop_vault.seal_record(&record, b"after the revocation");
    let payload = ChunkPayload { compression: Compression::None, body: b"content"[..].into() };
    let chunk = laptop_vault.seal_chunk(&payload);
    drop((laptop, laptop_vault));

    for (path, pair) in [(password.path_id(), password.pair()), (recovery.path_id(), recovery.pair())] {
        let (account, vault) = server.open(path, pair);
        assert_eq!((account.newest().generation(), vault.current_generation()), (2, 2));
        assert_eq!(vault.record_id(&FILE), record);
        assert_eq!(vault.open_record(&record, &before).as_deref(), Ok(&b"before the revocation"[..]));
        assert_eq!(vault.open_record(&record, &after).as_deref(), Ok(&b"after the revocation"[..]));
        assert_eq!(vault.seal_chunk(&payload).key, chunk.key);
    }
    assert_eq!(open_chunk(&chunk.key, &chunk.bytes), Ok(payload.clone()));

    assert_eq!(phone_vault.open_record(&record, &after), Err(OpenError::UnknownGeneration(2)));
    assert!(phone_vault.seal_chunk(&payload).key != chunk.key, "an old key makes no new chunk key");
    for sealed in server.unlock.iter().filter(|sealed| sealed.generation() == 2) {
        assert_eq!(sealed.open(&phone.xwing_pair(), &server.laptop), Err(OpenError::Refused));
    }
}
