//! Every key that is derived from another, recomputed from `docs/format.md` with BLAKE3 alone.
//!
//! The crypto crate shows no bytes of these. Each family is held against something it does show (a public key, an id),
//! so that a derivation recomputed wrongly fails here instead of being looked for in vain.

use anyhow::{Result, ensure};
use freehold_crypto::{
    Cek, DeviceSecret, RecoveryKey, RootSalt, Secret32, UnlockKeys, VaultKeyring, XWingPair,
};
use freehold_model::{AccountId, FileId, VaultId};
use freehold_tests::Needles;
use freehold_trust::SignKey;

/// `KDF(label, key, context)`, 32 bytes.
fn derive(label: &str, key: &[u8], context: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(&format!("freehold v1 {label}"), &[key, &context.concat()].concat())
}

fn add_each(needles: &mut Needles, labels: &[&str], key: &[u8], context: &[&[u8]]) {
    for label in labels {
        needles.add_key(&derive(label, key, context), label);
    }
}

/// A device secret and all keys below it.
pub(crate) fn device(secret: &DeviceSecret, needles: &mut Needles) -> Result<()> {
    needles.add_key(secret.expose(), "the device secret");
    let below = |label| derive(label, secret.expose(), &[]);
    ensure!(SignKey::from_seed(&below("device/sign")).public() == secret.sign_key().public(), "device/sign");
    ensure!(below("device/tls") == *secret.tls_seed().expose(), "device/tls");
    ensure!(pair(below("device/xwing")).public() == secret.xwing_pair().public(), "device/xwing");
    let all = ["device/sign", "device/tls", "device/xwing", "device/local"];
    add_each(needles, &all, secret.expose(), &[]);
    let local = ["local/journal", "local/staging", "local/row", "local/state"];
    add_each(needles, &local, &below("device/local"), &[]);
    Ok(())
}

fn pair(seed: [u8; 32]) -> XWingPair {
    XWingPair::from_seed(Secret32::from_bytes(seed))
}

/// What the password (through OPAQUE's export key) and the recovery key unlock with.
pub(crate) fn unlock(
    account: &AccountId,
    export_key: &[u8; 64],
    recovery: &RecoveryKey,
    needles: &mut Needles,
) -> Result<()> {
    needles.add_key(export_key, "the export key");
    needles.add_key(recovery.expose(), "the recovery key");
    let password = (
        derive("kek/password", export_key, &[account.as_bytes()]),
        UnlockKeys::from_password(export_key, account),
    );
    let paper = (derive("kek/recovery", recovery.expose(), &[]), UnlockKeys::from_recovery(recovery));
    for (kek, keys) in [password, paper] {
        needles.add_key(&kek, "a key encryption key");
        ensure!(
            SignKey::from_seed(&derive("unlock/sign", &kek, &[])).public() == keys.sign_key().public(),
            "unlock/sign"
        );
        ensure!(pair(derive("unlock/xwing", &kek, &[])).public() == keys.pair().public(), "unlock/xwing");
        add_each(needles, &["unlock/xwing", "unlock/sign", "unlock/user"], &kek, &[]);
    }
    Ok(())
}

/// An account root of a generation and what it wraps with.
pub(crate) fn root(account: &AccountId, generation: u32, root: &[u8; 32], needles: &mut Needles) {
    needles.add_key(root, "the account root");
    let context: [&[u8]; 2] = [account.as_bytes(), &generation.to_be_bytes()];
    add_each(needles, &["ark/wrap-vault", "ark/wrap-previous"], root, &context);
}

/// The first vault key and all keys below it.
pub(crate) fn vault(
    vault: &VaultId,
    key: &[u8; 32],
    keyring: &VaultKeyring,
    needles: &mut Needles,
) -> Result<()> {
    needles.add_key(key, "the vault key");
    let file = FileId::from_bytes([7; 16]);
    let index = derive("vault/index", key, &[vault.as_bytes()]);
    let id = blake3::keyed_hash(&index, file.as_bytes());
    ensure!(id.as_bytes().starts_with(keyring.record_id(&file).as_bytes()), "vault/index");
    add_each(needles, &["vault/index", "vault/dedup", "vault/content"], key, &[vault.as_bytes()]);
    let context: [&[u8]; 2] = [vault.as_bytes(), &1_u32.to_be_bytes()];
    let per_generation =
        ["vault/wrap-previous", "chunk/hash", "record/enc", "record/nonce", "commit/enc", "commit/nonce"];
    add_each(needles, &per_generation, key, &context);
    Ok(())
}

/// A file key and what it seals roots with.
pub(crate) fn file(cek: &Cek, salt: &RootSalt, needles: &mut Needles) -> Result<()> {
    needles.add_key(cek.expose(), "a file key");
    let root = derive("root", cek.expose(), &[salt.as_bytes()]);
    ensure!(root == *cek.root_key(salt).expose(), "root");
    chunk(&root, "a manifest key", needles);
    add_each(needles, &["root/salt"], cek.expose(), &[]);
    Ok(())
}

/// The key of a chunk, and the cipher key below it.
pub(crate) fn chunk(key: &[u8; 32], what: &str, needles: &mut Needles) {
    needles.add_key(key, what);
    add_each(needles, &["chunk/enc"], key, &[]);
}
