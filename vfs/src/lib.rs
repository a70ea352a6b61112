//! POSIX semantics and a thin FUSE adapter.
