//! What the node keeps besides chunks: its secret and what it learned when it joined.
//!
//! `node.key` holds 32 random bytes, 0600; the signing key and the TLS key are derived from them,
//! so there is one thing to back up. `node.toml` holds the server's address and key, the node's id
//! and its certificate: nothing secret. Both are written whole and renamed into place.

use crate::error::StartError;
use freehold_model::NodeId;
use freehold_net::Identity;
use freehold_trust::{PublicKey, SignKey, SignedNodeCert};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEY_FILE: &str = "node.key";
const JOINED_FILE: &str = "node.toml";
const SECRET_BYTES: usize = 32;

/// The node's secret.
pub(crate) struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

/// What a join yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Where the server was; a `--server` given later wins.
    pub(crate) server: String,
    pub(crate) node: NodeId,
    /// Signs capabilities; pinned.
    pub(crate) server_key: PublicKey,
    pub(crate) cert: SignedNodeCert,
}

/// The text form of [`Joined`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinedText {
    server: String,
    node_id: NodeId,
    cert: freehold_api::Blob,
    server_key: freehold_api::Blob,
}

/// The data folder.
#[derive(Debug)]
pub(crate) struct DataDir(PathBuf);

impl Secret {
    /// Signs receipts and heartbeats.
    pub(crate) fn sign_key(&self) -> SignKey {
        SignKey::from_seed(&self.derive("freehold v1 node signing key"))
    }

    /// What the node is on links.
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_seed(&self.derive("freehold v1 node tls key"))
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, &self.0[..]))
    }
}

impl DataDir {
    /// Opens the folder, making it when absent, readable by its owner only.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let dir = Self(path.to_owned());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| dir.unusable(source))?;
        Ok(dir)
    }

    /// Where chunks lie.
    pub(crate) fn chunks(&self) -> PathBuf {
        self.0.join("chunks")
    }

    /// Where devices leave what they know of each other.
    pub(crate) fn heads(&self) -> PathBuf {
        self.0.join("heads")
    }

    /// The node's secret; a new one is made in a folder that has none.
    pub(crate) fn secret(&self) -> Result<Secret, StartError> {
        let path = self.0.join(KEY_FILE);
        match std::fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => {
                let secret = <[u8; SECRET_BYTES]>::try_from(&bytes[..]);
                secret.map(|secret| Secret(Zeroizing::new(secret))).map_err(|_| StartError::Damaged(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = Zeroizing::new([0; SECRET_BYTES]);
                getrandom::fill(&mut secret[..])
                    .map_err(|error| self.unusable(io::Error::other(error.to_string())))?;
                self.write(KEY_FILE, &secret[..])?;
                Ok(Secret(secret))
            }
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// What the node learned when it joined; `None` before that.
    pub(crate) fn joined(&self) -> Result<Option<Joined>, StartError> {
        let path = self.0.join(JOINED_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.unusable(source)),
        };
        let parse = || {
            let text: JoinedText = toml::from_str(&text).ok()?;
            Some(Joined {
                server: text.server,
                node: text.node_id,
                server_key: PublicKey::from_bytes(text.server_key.0.try_into().ok()?),
                cert: SignedNodeCert::from_bytes(&text.cert.0).ok()?,
            })
        };
        parse().map(Some).ok_or(StartError::Damaged(path))
    }

    /// Remembers a join.
    pub(crate) fn save_joined(&self, joined: &Joined) -> Result<(), StartError> {
        let text = toml::to_string(&JoinedText {
            server: joined.server.clone(),
            node_id: joined.node,
            cert: freehold_api::Blob(joined.cert.to_bytes()),
            server_key: freehold_api::Blob(joined.server_key.as_bytes().to_vec()),
        });
        self.write(JOINED_FILE, text.expect("strings always make TOML").as_bytes())
    }

    /// Writes a file whole: a crash leaves the old one or the new one.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StartError> {
        let new = self.0.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, self.0.join(name))?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|source| self.unusable(source))
    }

    pub(crate) fn unusable(&self, source: io::Error) -> StartError {
        StartError::DataDir { dir: self.0.clone(), source }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_trust::NodeCert;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_is_made_once_and_readable_by_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&home.path().join("node")).unwrap();
        let first = dir.secret().unwrap().sign_key().public();
        assert_eq!(dir.secret().unwrap().sign_key().public(), first);
        for (path, mode) in [(dir.path().join(KEY_FILE), 0o600), (dir.path().to_owned(), 0o700)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn signing_and_tls_keys_differ() {
        let home = tempfile::tempdir().unwrap();
        let secret = DataDir::open(home.path()).unwrap().secret().unwrap();
        assert_ne!(secret.sign_key().public().as_bytes(), secret.identity().public_key().as_bytes());
    }

    #[test]
    fn a_join_is_remembered_and_damage_to_it_is_named() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(home.path()).unwrap();
        assert_eq!(dir.joined().unwrap(), None);
        let key = SignKey::from_seed(&[7; 32]);
        let node = NodeId::from_bytes([3; 16]);
        let cert = NodeCert { node, sign_pk: key.public(), tls_pk: key.public(), zone: 1, created: 5 };
        let joined = Joined {
            server: "http://127.0.0.1:8440".to_owned(),
            node,
            server_key: key.public(),
            cert: SignedNodeCert::sign(cert, &key),
        };
        dir.save_joined(&joined).unwrap();
        assert_eq!(dir.joined().unwrap(), Some(joined));
        std::fs::write(home.path().join(JOINED_FILE), "server = 3").unwrap();
        assert!(matches!(dir.joined(), Err(StartError::Damaged(_))));
    }
}
