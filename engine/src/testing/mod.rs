//! What the engine's tests stand on: a disk that crashes, a clock that waits, a small rig.

pub(crate) mod disk;
pub(crate) mod rig;

pub(crate) use disk::{Draw, TraceDisk};
pub(crate) use rig::{Rig, child, file, names, read};
