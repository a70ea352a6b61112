//! Every derivation's label, in one table: one key, one purpose.
//!
//! A label is the context string of BLAKE3's `derive_key` mode, so two labels give unrelated keys
//! from the same input.

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        $(
            $(#[$doc])*
            #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "browsers keep nothing on a disk"))]
            pub(crate) const $name: &str = concat!("freehold v1 ", $text);
        )+

        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$($name),+];
    };
}

labels! {
    /// OPAQUE's export key and the account to the key encryption key.
    KEK_PASSWORD = "kek/password";
    /// The recovery key to the key encryption key.
    KEK_RECOVERY = "kek/recovery";
    /// A key encryption key to the seed of its unlock X-Wing pair.
    UNLOCK_XWING = "unlock/xwing";
    /// A key encryption key to the seed of its second-signature key.
    UNLOCK_SIGN = "unlock/sign";
    /// A key encryption key to the key that seals the user name.
    UNLOCK_USER = "unlock/user";
    /// The device secret to its signing seed.
    DEVICE_SIGN = "device/sign";
    /// The device secret to its TLS seed.
    DEVICE_TLS = "device/tls";
    /// The device secret to the seed of its X-Wing pair.
    DEVICE_XWING = "device/xwing";
    /// The device secret to the key of everything sealed on its own disk.
    DEVICE_LOCAL = "device/local";
    /// The local key to journal frames.
    LOCAL_JOURNAL = "local/journal";
    /// The local key to staged extents.
    LOCAL_STAGING = "local/staging";
    /// The local key to what derives a key for each staged extent sealed with AES-256-GCM.
    LOCAL_STAGING_GCM = "local/staging-gcm";
    /// The local key to index rows.
    LOCAL_ROW = "local/row";
    /// The local key to state files.
    LOCAL_STATE = "local/state";
    /// A wrapping key and the nonce to a key box's encryption key.
    KEYBOX_ENC = "keybox/enc";
    /// A wrapping key, the nonce and the header to a key box's commitment.
    KEYBOX_COMMIT = "keybox/commit";
    /// An account root to the key that wraps vault keys.
    ARK_WRAP_VAULT = "ark/wrap-vault";
    /// An account root to the key that wraps the root before it.
    ARK_WRAP_PREVIOUS = "ark/wrap-previous";
    /// A vault key to the key that wraps the vault key before it.
    VAULT_WRAP_PREVIOUS = "vault/wrap-previous";
    /// The first vault key to the record id function.
    VAULT_INDEX = "vault/index";
    /// The first vault key to the plaintext hash of the local dedup lookup.
    VAULT_DEDUP = "vault/dedup";
    /// The first vault key to the hash of whole file contents.
    VAULT_CONTENT = "vault/content";
    /// The first vault key to the secrets that say where contents are cut.
    VAULT_CHUNKER = "vault/chunker";
    /// A vault key to the tags its devices announce on the local network.
    VAULT_LAN = "vault/lan";
    /// A vault key to the hash that yields chunk keys.
    CHUNK_HASH = "chunk/hash";
    /// A chunk's key to its cipher key.
    CHUNK_ENC = "chunk/enc";
    /// A chunk's key to its nonce prefix.
    CHUNK_NONCE = "chunk/nonce";
    /// A vault key to record encryption.
    RECORD_ENC = "record/enc";
    /// A vault key to record nonces.
    RECORD_NONCE = "record/nonce";
    /// A vault key to commit body encryption.
    COMMIT_ENC = "commit/enc";
    /// A vault key to commit body nonces.
    COMMIT_NONCE = "commit/nonce";
    /// A vault key to the encryption of heads left at nodes.
    HEADS_ENC = "heads/enc";
    /// A vault key to the nonces of heads left at nodes.
    HEADS_NONCE = "heads/nonce";
    /// A file's key and a salt to the key of one version's root manifest.
    ROOT = "root";
    /// A file's key to the hash that yields root salts.
    ROOT_SALT = "root/salt";
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_purposes_share_a_label() {
        assert_eq!(ALL.iter().collect::<BTreeSet<_>>().len(), ALL.len());
    }
}
