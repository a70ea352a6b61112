//! The device secret: the one plain secret on this disk, in a file only its owner can read.
//!
//! It is made when the device signs in and removed when it signs out. The threat model says what follows from
//! its lying there.

use crate::engine_error::EngineError;
use freehold_crypto::DeviceSecret;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

fn path(dir: &Path) -> PathBuf {
    dir.join("device.key")
}

/// Where it is written first: after a power cut it is there whole or not at all.
fn unfinished(dir: &Path) -> PathBuf {
    dir.join("device.key.new")
}

/// Reads the secret; nothing when this device has none.
///
/// # Errors
/// `Disk` when the file cannot be read, has another length, or other users may read it.
pub(crate) fn load_secret(dir: &Path) -> Result<Option<DeviceSecret>, EngineError> {
    let what = "read the device secret (device.key)";
    let mut file = match File::open(path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::disk(what, error)),
    };
    let mode = file.metadata().map_err(|error| EngineError::disk(what, error))?.mode();
    if mode & 0o077 != 0 {
        let error =
            std::io::Error::new(ErrorKind::PermissionDenied, "other users may read it; chmod it to 0600");
        return Err(EngineError::disk(what, error));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let mut more = [0; 1];
    file.read_exact(bytes.as_mut_slice()).map_err(|error| EngineError::disk(what, error))?;
    if file.read(&mut more).map_err(|error| EngineError::disk(what, error))? != 0 {
        return Err(EngineError::disk(
            what,
            std::io::Error::new(ErrorKind::InvalidData, "it is not 32 bytes long"),
        ));
    }
    Ok(Some(DeviceSecret::from_bytes(*bytes)))
}

/// Writes a new secret durably, before anything is sealed under it.
///
/// # Errors
/// `Disk` when it cannot be written; a secret that is there is never replaced.
pub(crate) fn store_secret(dir: &Path, secret: &DeviceSecret) -> Result<(), EngineError> {
    let write = || {
        if path(dir).try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        remove(&unfinished(dir))?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(unfinished(dir))?;
        file.write_all(secret.expose())?;
        file.sync_all()?;
        fs::rename(unfinished(dir), path(dir))?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| EngineError::disk("write the device secret (device.key)", error))
}

/// Removes the secret: what was sealed under it is noise from then on.
///
/// # Errors
/// `Disk` when it cannot be removed.
pub(crate) fn remove_secret(dir: &Path) -> Result<(), EngineError> {
    let removed = remove(&unfinished(dir)).and_then(|()| remove(&path(dir)));
    removed.map_err(|error| EngineError::disk("remove the device secret (device.key)", error))
}

fn remove(file: &Path) -> std::io::Result<()> {
    fs::remove_file(file)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_comes_back_and_is_its_owners_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(load_secret(dir.path()).expect("no file").is_none());
        store_secret(dir.path(), &DeviceSecret::from_bytes([7; 32])).expect("a new secret");
        let mode = fs::metadata(path(dir.path())).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let back = load_secret(dir.path()).expect("readable").expect("there");
        assert_eq!(back.expose(), &[7; 32]);
        assert!(store_secret(dir.path(), &back).is_err(), "a secret is never replaced");
        remove_secret(dir.path()).expect("removable");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_secret_whose_writing_was_cut_short_is_none_and_hinders_no_later_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(unfinished(dir.path()), [1; 7]).expect("writable");
        assert!(load_secret(dir.path()).expect("no file").is_none());
        store_secret(dir.path(), &DeviceSecret::from_bytes([7; 32])).expect("a new secret");
        assert_eq!(load_secret(dir.path()).expect("readable").expect("there").expose(), &[7; 32]);
    }

    #[test]
    fn a_secret_others_can_read_or_of_another_length_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (len, mode) in [(32, 0o644), (31, 0o600), (33, 0o600)] {
            fs::write(path(dir.path()), vec![1; len]).expect("writable");
            fs::set_permissions(path(dir.path()), fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(load_secret(dir.path()).is_err(), "{len} bytes, mode {mode:o}");
        }
    }
}
