//! What the server said last of the storage nodes, sealed on this disk.
//!
//! ```text
//! plaintext  version u8 = 1 | layout and addresses, as the server's JSON, var | capabilities, likewise, var
//! file       `nodes.sealed`: LocalKey, purpose state file, AAD "storage nodes"
//! ```

use crate::entropy::OsEntropy;
use freehold_api::{Capabilities, LayoutInfo};
use freehold_crypto::{LocalKey, LocalPurpose};
use freehold_model::codec::{DecodeError, Reader, Writer};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u8 = 1;
const AAD: &[u8] = b"storage nodes";
/// Bytes of either part: 256 nodes with their certificates and capabilities stay far below.
const PART_BYTES_MAX: usize = 1 << 20;

/// What is kept. Whoever reads it verifies it as if the server had just said it.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) layout: LayoutInfo,
    pub(crate) granted: Capabilities,
}

/// The file.
pub(crate) struct NodesFile {
    path: PathBuf,
    key: Arc<LocalKey>,
}

impl NodesFile {
    /// The file of a vault, there or not.
    pub(crate) fn new(dir: &Path, key: Arc<LocalKey>) -> Self {
        Self { path: dir.join("nodes.sealed"), key }
    }

    /// What was kept; nothing when there is none or it is damaged.
    pub(crate) fn load(&self) -> Option<Remembered> {
        let sealed = std::fs::read(&self.path).ok()?;
        let plain = self.key.open(LocalPurpose::StateFile, AAD, &sealed).ok()?;
        decode(&plain).ok()
    }

    /// Replaces what is kept. A disk that does not take it costs only a start without the server.
    pub(crate) fn save(&self, said: &Remembered) {
        if let Err(error) = self.write(said) {
            tracing::warn!(%error, "the storage nodes could not be remembered");
        }
    }

    fn write(&self, said: &Remembered) -> std::io::Result<()> {
        let mut plain = Writer::new();
        plain.u8(VERSION).var_bytes(&serde_json::to_vec(&said.layout)?);
        plain.var_bytes(&serde_json::to_vec(&said.granted)?);
        let sealed = self.key.seal(LocalPurpose::StateFile, AAD, plain.as_slice(), &mut OsEntropy);
        let new = self.path.with_extension("sealed.new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&sealed)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)
    }
}

fn decode(plain: &[u8]) -> Result<Remembered, DecodeError> {
    let mut input = Reader::new(plain);
    input.expect(&[VERSION], "storage nodes version")?;
    let (layout, granted) = (input.var_bytes(PART_BYTES_MAX)?, input.var_bytes(PART_BYTES_MAX)?);
    let invalid = |_| DecodeError::Invalid("storage nodes");
    let layout = serde_json::from_slice(layout).map_err(invalid)?;
    let granted = serde_json::from_slice(granted).map_err(invalid)?;
    input.finish()?;
    Ok(Remembered { layout, granted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_crypto::DeviceSecret;

    #[test]
    fn what_was_said_comes_back_and_damage_is_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = Arc::new(DeviceSecret::from_bytes([7; 32]).local_key());
        let file = NodesFile::new(dir.path(), Arc::clone(&key));
        assert!(file.load().is_none());
        let layout = LayoutInfo { epoch: 3, layout: vec![1, 2].into(), nodes: Vec::new() };
        let granted = Capabilities { items: Vec::new(), expires: 9 };
        file.save(&Remembered { layout, granted });
        let found = file.load().expect("kept");
        assert_eq!((found.layout.epoch, found.granted.expires), (3, 9));
        std::fs::write(dir.path().join("nodes.sealed"), b"noise").expect("a file");
        assert!(file.load().is_none());
    }
}
