//! What devices leave at the node to say how far their vault has come: sealed, one for each client.
//!
//! A vault is one small file, written whole and renamed into place, durable before it is answered. A
//! client can replace only what it left itself, so neither a removed device nor a server that grants
//! capabilities takes away what another device said. Nothing here expires: what a device that is gone
//! saw last still counts.
//!
//! ```text
//! heads/TAG   "FHNW" 4 · version u8 = 1 · count u32 · (holder 32 · len u32 · sealed) * · BLAKE3 of all before 32
//! ```

use crate::limits::WITNESS_VAULTS_MAX;
use freehold_api::limits::{WITNESS_BYTES_MAX, WITNESSES_MAX};
use freehold_model::VaultTag;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer, from_slice, to_vec};
use freehold_trust::HolderHash;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const MAGIC: &[u8; 4] = b"FHNW";
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 32;

/// Why something was not left or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    /// The disk refused.
    #[error("the heads that devices left cannot be read or written: {0}")]
    Disk(#[from] io::Error),
    /// The file is not what was written there.
    #[error("the file of heads that devices left in a vault is damaged; move it away")]
    Damaged,
    /// There is a place for no further client or vault.
    #[error("there is no place for the heads of another client or vault")]
    Full,
}

/// What clients left, by vault.
#[derive(Debug)]
pub(crate) struct Witness {
    dir: PathBuf,
    /// Vaults with a file. Held while one is changed, so that two clients lose nothing of each other.
    vaults: Mutex<BTreeSet<String>>,
}

/// What lies in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Left(BTreeMap<[u8; 32], Vec<u8>>);

impl Witness {
    /// Opens the folder, making it when absent.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut vaults = BTreeSet::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // A write that was cut short: nothing of it was acknowledged.
            if name.ends_with(".new") {
                std::fs::remove_file(dir.join(name))?;
            } else {
                vaults.insert(name);
            }
        }
        Ok(Self { dir: dir.to_owned(), vaults: Mutex::new(vaults) })
    }

    /// Leaves what a client brings, unless it brings nothing, and gives what everybody left. Durable on
    /// return. Blocks.
    pub(crate) fn exchange(
        &self,
        tag: &VaultTag,
        holder: HolderHash,
        brought: &[u8],
    ) -> Result<Vec<Vec<u8>>, WitnessError> {
        let name = tag.to_string();
        let mut vaults = self.vaults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = if vaults.contains(&name) { self.read(&name)? } else { Left::default() };
        let holder = *holder.as_bytes();
        if !brought.is_empty() && left.0.get(&holder).map(Vec::as_slice) != Some(brought) {
            let is_new_vault = !vaults.contains(&name);
            let is_new_client = !left.0.contains_key(&holder);
            if (is_new_vault && vaults.len() >= WITNESS_VAULTS_MAX)
                || (is_new_client && left.0.len() >= WITNESSES_MAX)
            {
                return Err(WitnessError::Full);
            }
            left.0.insert(holder, brought.to_vec());
            self.write(&name, &left)?;
            vaults.insert(name);
        }
        Ok(left.0.into_values().collect())
    }

    fn read(&self, name: &str) -> Result<Left, WitnessError> {
        let bytes = std::fs::read(self.dir.join(name))?;
        let (body, check) =
            bytes.split_at_checked(bytes.len().saturating_sub(CHECK_BYTES)).ok_or(WitnessError::Damaged)?;
        if blake3::hash(body).as_bytes() != check {
            return Err(WitnessError::Damaged);
        }
        from_slice(body).map_err(|_| WitnessError::Damaged)
    }

    fn write(&self, name: &str, left: &Left) -> io::Result<()> {
        let mut bytes = to_vec(left);
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        let new = self.dir.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()
    }
}

impl Encode for Left {
    fn encode(&self, out: &mut Writer) {
        out.raw(MAGIC).u8(VERSION);
        out.u32(u32::try_from(self.0.len()).expect("clients are bounded before"));
        for (holder, sealed) in &self.0 {
            out.raw(holder).var_bytes(sealed);
        }
    }
}

impl Decode for Left {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(MAGIC, "heads left")?;
        input.expect(&[VERSION], "version of heads left")?;
        let mut left = BTreeMap::new();
        for _ in 0..input.count(WITNESSES_MAX, 36)? {
            let holder = input.array()?;
            if left.last_key_value().is_some_and(|(last, _)| *last >= holder) {
                return Err(DecodeError::Invalid("order of heads left"));
            }
            left.insert(holder, input.var_bytes(WITNESS_BYTES_MAX)?.to_vec());
        }
        Ok(Self(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u32) -> VaultTag {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        VaultTag::from_bytes(bytes)
    }

    fn holder(number: u32) -> HolderHash {
        HolderHash::of(&freehold_trust::PublicKey::from_bytes(
            *blake3::hash(&number.to_be_bytes()).as_bytes(),
        ))
    }

    fn open(dir: &Path) -> Witness {
        Witness::open(&dir.join("heads")).expect("a folder")
    }

    #[test]
    fn what_is_left_outlives_the_node_and_only_its_client_replaces_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let witness = open(dir.path());
        assert!(witness.exchange(&tag(1), holder(1), b"").expect("nothing yet").is_empty());
        witness.exchange(&tag(1), holder(1), b"first").expect("left");
        witness.exchange(&tag(1), holder(2), b"second").expect("left");
        witness.exchange(&tag(1), holder(1), b"newer").expect("left");
        let mut all = open(dir.path()).exchange(&tag(1), holder(3), b"").expect("read");
        all.sort_unstable();
        assert_eq!(all, [b"newer".to_vec(), b"second".to_vec()]);
        assert!(witness.exchange(&tag(2), holder(1), b"").expect("read").is_empty(), "another vault");
    }

    #[test]
    fn a_full_vault_refuses_new_clients_and_serves_those_it_has() {
        let dir = tempfile::tempdir().expect("a folder");
        let witness = open(dir.path());
        let full =
            Left((0..WITNESSES_MAX).map(|number| (*holder(number as u32).as_bytes(), vec![1])).collect());
        witness.write(&tag(1).to_string(), &full).expect("written");
        let witness = open(dir.path());
        let refused = witness.exchange(&tag(1), holder(99_999), b"one more");
        assert!(matches!(refused, Err(WitnessError::Full)));
        let left = witness.exchange(&tag(1), holder(7), b"newer").expect("its own place");
        assert_eq!(left.len(), WITNESSES_MAX);
        assert!(left.contains(&b"newer".to_vec()));
    }

    #[test]
    fn a_damaged_file_is_named_and_never_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let witness = open(dir.path());
        witness.exchange(&tag(1), holder(1), b"first").expect("left");
        let path = dir.path().join("heads").join(tag(1).to_string());
        let good = std::fs::read(&path).expect("a file");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).expect("written");
            let refused = witness.exchange(&tag(1), holder(1), b"other");
            assert!(matches!(refused, Err(WitnessError::Damaged)), "byte {at}");
            assert_eq!(std::fs::read(&path).expect("a file"), bad);
        }
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).exchange(&tag(1), holder(1), b"first").expect("left");
        let new = dir.path().join("heads").join(format!("{}.new", tag(1)));
        std::fs::write(&new, b"half").expect("written");
        let left = open(dir.path()).exchange(&tag(1), holder(1), b"").expect("read");
        assert_eq!(left, [b"first".to_vec()]);
        assert!(!new.exists());
    }
}
