//! The standard file-system suites, and programs people use, on the mount of the real programs.
//!
//! What each found last, and what it skips, is in `docs/posix.md`. The long forms run with `./x test --long`.

mod builds;
mod copies;
mod databases;
mod failing_disk;
mod fio;
mod fsx;
mod git;
mod handles;
mod model;
mod no_hang;
mod pjdfstest;
mod program;
mod trees;
