//! What a mount may be asked for.

/// Options of one mount. The default is what `~/Vault` uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Every write goes through to the daemon before it returns: the kernel's writeback cache is
    /// off. Slower for small rewrites (measured 9 times), but times and sizes are the daemon's own
    /// at every moment.
    pub strict: bool,
    /// Users other than the one who mounts may use the mount, as far as the permission bits let
    /// them.
    pub allow_other: bool,
    /// Set-user-id programs and device nodes work. For root only; conformance suites need it.
    pub suid_dev: bool,
    /// Mounts through `fusermount3` even as root.
    pub helper: bool,
    /// Requests come through `/dev/fuse` even where the kernel has rings for them.
    pub classic: bool,
}
