//! The server's own secrets, in one file of its data directory, readable by its owner only.
//!
//! ```text
//! "FHSK" | version u8 = 1 | signing seed 32 | pseudonym secret 32 | OPAQUE keys 128
//! ```
//!
//! They stay out of the database so that a stolen copy of it holds no key: without the OPAQUE keys
//! its login records cannot even be guessed at offline. Losing the file makes every login
//! worthless, so it belongs into the same backup, kept apart. Several servers over one database
//! hold copies of one file; a fingerprint in the database tells whether a file is the right one.

use crate::random::OsEntropy;
use freehold_model::codec::Reader;
use freehold_model::{Entropy, NodeId, VaultId, VaultTag};
use freehold_trust::opaque::{SETUP_BYTES, ServerSetup};
use freehold_trust::{PublicKey, SignKey};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "server.keys";
const MAGIC: &[u8; 5] = b"FHSK\x01";

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Its bytes are not a key file of this version.
    #[error("the key file {path} is damaged; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot use the key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The server's secrets.
#[derive(Debug)]
pub struct ServerKeys {
    sign: SignKey,
    pseudonym: Secret,
    opaque: ServerSetup,
}

/// 32 bytes that do not print.
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl ServerKeys {
    /// Reads the key file of a data directory, or makes one when there is none.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is damaged, unreadable or cannot be written.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, KeyFileError> {
        let path = Self::path(data_dir);
        match fs::read(&path) {
            Ok(bytes) => Self::decode(&bytes).ok_or(KeyFileError::Damaged { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = Self::generate();
                write_durably(data_dir, &path, &bytes)
                    .map_err(|source| KeyFileError::Io { path: path.clone(), source })?;
                Self::decode(&bytes).ok_or(KeyFileError::Damaged { path })
            }
            Err(source) => Err(KeyFileError::Io { path, source }),
        }
    }

    /// Reads the key file of a data directory; nothing when there is none.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is damaged or unreadable.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, KeyFileError> {
        if !Self::path(data_dir).exists() {
            return Ok(None);
        }
        Self::load_or_create(data_dir).map(Some)
    }

    /// The key file of a data directory.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    fn generate() -> Vec<u8> {
        let mut secrets = [0; 64];
        OsEntropy.fill(&mut secrets);
        let opaque = ServerSetup::generate(&mut OsEntropy).to_bytes();
        [MAGIC.as_slice(), &secrets, &opaque].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        input.expect(MAGIC, "key file").ok()?;
        let (seed, pseudonym) = (input.array().ok()?, input.array().ok()?);
        let opaque = ServerSetup::from_bytes(input.bytes(SETUP_BYTES).ok()?).ok()?;
        input.finish().ok()?;
        Some(Self { sign: SignKey::from_seed(&seed), pseudonym: Secret(pseudonym), opaque })
    }

    /// Signs capabilities, layouts and node certificates.
    pub(crate) const fn sign(&self) -> &SignKey {
        &self.sign
    }

    /// The public half of the signing key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.sign.public()
    }

    /// What sessions and pins name this server by.
    pub(crate) fn server_id(&self) -> [u8; 32] {
        *blake3::hash(self.public().as_bytes()).as_bytes()
    }

    /// What a database remembers these keys by. It keeps files from being mixed up, not attackers
    /// out, so 64 bits of a hash of the public key do.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        let hash = blake3::derive_key("freehold v1 key file fingerprint", self.public().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = hash;
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The login keys.
    pub(crate) const fn opaque(&self) -> &ServerSetup {
        &self.opaque
    }

    /// What a node knows a vault by: each node another, so nodes cannot compare notes.
    #[must_use]
    pub fn vault_tag(&self, vault: &VaultId, node: &NodeId) -> VaultTag {
        let mut hasher = self.hasher("freehold v1 vault tag");
        hasher.update(vault.as_bytes()).update(node.as_bytes());
        let mut tag = [0; 16];
        hasher.finalize_xof().fill(&mut tag);
        VaultTag::from_bytes(tag)
    }

    /// What the database knows a login name by.
    pub(crate) fn login_hash(&self, user: &str) -> [u8; 32] {
        *self.hasher("freehold v1 login name").update(user.as_bytes()).finalize().as_bytes()
    }

    /// A keyed hash for one purpose, the same on every server with these keys.
    pub(crate) fn hasher(&self, purpose: &'static str) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&blake3::derive_key(purpose, &self.pseudonym.0))
    }
}

/// Writes beside, syncs, renames, syncs the directory: the file is there whole or not at all.
fn write_durably(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("keys.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_come_back_and_are_the_owners_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let made = ServerKeys::load_or_create(dir.path()).expect("fresh keys");
        let read = ServerKeys::load_or_create(dir.path()).expect("the same keys");
        assert_eq!(made.public(), read.public());
        assert_eq!(made.login_hash("ada"), read.login_hash("ada"));
        let mode = fs::metadata(dir.path().join(FILE_NAME)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join(FILE_NAME), b"FHSK\x01short").expect("a file");
        assert!(matches!(ServerKeys::load_or_create(dir.path()), Err(KeyFileError::Damaged { .. })));
        assert_eq!(fs::read(dir.path().join(FILE_NAME)).expect("the file"), b"FHSK\x01short");
    }

    #[test]
    fn nodes_know_a_vault_by_different_tags() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let keys = ServerKeys::load_or_create(dir.path()).expect("fresh keys");
        let vault = VaultId::from_bytes([1; 16]);
        let tag = |node| keys.vault_tag(&vault, &NodeId::from_bytes([node; 16]));
        assert_eq!(tag(1), tag(1));
        assert_ne!(tag(1), tag(2));
    }
}
