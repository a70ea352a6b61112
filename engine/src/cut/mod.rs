//! Turning written bytes into sealed versions, in the background.
//!
//! One thread takes bodies that are quiet, seals them piece by piece into the chunk cache, and
//! installs the result in their records. Small files are gathered: the cache is flushed once for
//! many of them, and only then is any of them installed, because from that moment on the written
//! bytes may be forgotten.

mod ahead;
pub(crate) mod cutting;
mod held;
mod job;
pub(crate) mod known;
pub mod measure;
mod plan;
pub(crate) mod refs;
pub(crate) mod seal;
#[cfg(test)]
mod tests;
mod threads;
mod worker;

pub(crate) use worker::{CutParts, CutWorker};
