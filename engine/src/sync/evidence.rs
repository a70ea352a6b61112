//! Keeping proof when somebody shows a false history: sealed, beside the vault's local state.

use super::chains::Alarm;
use crate::entropy::OsEntropy;
use freehold_crypto::{LocalKey, LocalPurpose};
use freehold_model::VaultId;
use freehold_model::codec::Writer;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Files kept at most: one is proof enough, and a hostile server makes as many as it likes.
const FILES_MAX: u32 = 16;

/// Writes the commit that raised an alarm to a file of its own.
pub(super) fn keep(dir: &Path, vault: &VaultId, key: &LocalKey, alarm: Alarm, commit: &[u8]) {
    let mut plain = Writer::new();
    plain.u8(2).short_bytes(alarm.to_string().as_bytes()).var_bytes(commit);
    let aad = [&b"evidence"[..], vault.as_bytes()].concat();
    let sealed = key.seal(LocalPurpose::StateFile, &aad, plain.as_slice(), &mut OsEntropy);
    for number in 0..FILES_MAX {
        let path = dir.join(format!("evidence-{number:02}.sealed"));
        match File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(&sealed).and_then(|()| file.sync_all()) {
                    tracing::error!(%error, "evidence of a false history could not be kept");
                }
                return;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                tracing::error!(%error, "evidence of a false history could not be kept");
                return;
            }
        }
    }
}
