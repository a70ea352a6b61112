//! Gets a mounted `/dev/fuse` descriptor, and unmounts again.
//!
//! Two ways, both ending in a descriptor the transport takes over: root calls mount(2) itself;
//! anybody else runs the setuid helper `fusermount3`, which mounts and passes the descriptor back
//! over a socket. Requests of every uid are answered, the kernel's own flusher's (uid 0) too, whoever
//! mounted; who may come is the kernel's decision, by the mount's options.
//!
//! The helper's socket is its standard input: no descriptor has to lose its close-on-exec flag, so
//! no other child can inherit it.

use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::MountError;
use crate::MountOptions;

const HELPER: &str = "fusermount3";
/// Where the helper looks for the number of its socket.
const HELPER_SOCKET_VARIABLE: &str = "_FUSE_COMMFD";
/// A fixed name: the helper passes commas in it on unescaped.
const SOURCE: &str = "freehold";
/// Filesystem type in the mount table.
pub(super) const FS_TYPE: &str = "fuse.freehold";

/// How a mount was made, and so how it is taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// mount(2) and umount2(2).
    Kernel,
    /// `fusermount3`.
    Helper,
}

/// Mounts at `point`; requests arrive on the descriptor.
pub(super) fn mount(point: &Path, options: &MountOptions) -> Result<(OwnedFd, Via), MountError> {
    if rustix::process::geteuid().is_root() && !options.helper {
        match mount_directly(point, options) {
            // Root without CAP_SYS_ADMIN, as in some containers.
            Err(MountError::Kernel { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            mounted => return mounted.map(|device| (device, Via::Kernel)),
        }
    }
    mount_by_helper(point, options).map(|device| (device, Via::Helper))
}

fn mount_directly(point: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let device =
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(MountError::NoDevice)?;
    let mut flags = MountFlags::empty();
    if !options.suid_dev {
        flags |= MountFlags::NOSUID | MountFlags::NODEV;
    }
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let other = if options.allow_other { ",allow_other" } else { "" };
    let data = format!(
        "fd={},rootmode=40000,user_id={uid},group_id={gid},default_permissions{other}",
        device.as_raw_fd()
    );
    let data = CString::new(data).expect("numbers and fixed words hold no zero byte");
    rustix::mount::mount(SOURCE, point, FS_TYPE, flags, data.as_c_str())
        .map_err(|errno| MountError::Kernel { what: "mount(2) refused", source: errno.into() })?;
    Ok(device.into())
}

fn mount_by_helper(point: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let fail = |what| move |source| MountError::Kernel { what, source };
    let (ours, theirs) = UnixStream::pair().map_err(fail("no socket for fusermount3"))?;
    let other = if options.allow_other { ",allow_other" } else { "" };
    let child = Command::new(HELPER)
        .arg("-o")
        .arg(format!("rw,nosuid,nodev,fsname={SOURCE},subtype=freehold,default_permissions{other}"))
        .arg("--")
        .arg(point)
        .env(HELPER_SOCKET_VARIABLE, "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MountError::NoHelper),
        Err(error) => return Err(fail("fusermount3 cannot be started")(error)),
    };
    let device = receive_descriptor(&ours);
    let output = child.wait_with_output().map_err(fail("fusermount3 was lost"))?;
    match device.map_err(fail("fusermount3 sent no descriptor"))? {
        Some(device) if output.status.success() => Ok(device),
        _ => Err(MountError::Helper(first_line(&output.stderr))),
    }
}

/// The descriptor the helper sends, or `None` if it ended without one.
fn receive_descriptor(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

/// Takes the mount down. With `detach` it leaves the tree at once and lives on until the last open
/// file is closed.
pub(super) fn unmount(point: &Path, via: Via, detach: bool) -> Result<(), MountError> {
    match via {
        Via::Kernel => {
            let mut flags = UnmountFlags::NOFOLLOW;
            if detach {
                flags |= UnmountFlags::DETACH;
            }
            rustix::mount::unmount(point, flags).map_err(|errno| match errno {
                rustix::io::Errno::BUSY => MountError::Busy,
                other => MountError::Unmount(other.into()),
            })
        }
        Via::Helper => {
            let flags = if detach { "-uqz" } else { "-uq" };
            let status = Command::new(HELPER)
                .arg(flags)
                .arg("--")
                .arg(point)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
            match status {
                Ok(status) if status.success() => Ok(()),
                // The helper has one exit code for every failure; a mount of ours that is in use is
                // the one that happens.
                Ok(_) if !detach => Err(MountError::Busy),
                Ok(status) => {
                    Err(MountError::Unmount(io::Error::other(format!("fusermount3 ended with {status}"))))
                }
                Err(error) => Err(MountError::Unmount(error)),
            }
        }
    }
}

/// The first line of the helper's message, without its own name and without the path it quotes.
fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().next().unwrap_or("no reason given").trim();
    let line = line
        .strip_prefix("fusermount3: ")
        .or_else(|| line.strip_prefix("/usr/bin/fusermount3: "))
        .unwrap_or(line);
    match (line.find('/'), line.rfind(": ")) {
        (Some(path), Some(reason)) if path < reason => format!("{}…{}", &line[..path], &line[reason..]),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helpers_reason_is_kept_and_its_path_is_not() {
        let line =
            first_line(b"fusermount3: failed to access mountpoint /home/u/Vault: Permission denied\nmore\n");
        assert_eq!(line, "failed to access mountpoint …: Permission denied");
        assert_eq!(first_line(b""), "no reason given");
    }
}
