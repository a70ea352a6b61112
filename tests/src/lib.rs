//! What the whole-system scenarios are made of: a world of real programs, trees, and comparison.
//!
//! A [`World`] starts a server and a storage node from `target/dist/bin`, and devices: each a daemon with a
//! `FREEHOLD_HOME` of its own. Everything it starts it also ends, and every mount it makes it takes down, when
//! it is dropped, also after a failed assertion. The scenarios are in `tests/tests/`.

mod capture;
mod compare;
mod crash_fs;
mod daemon;
mod device;
mod full_disk;
mod lan;
mod needles;
mod noise;
mod oracle;
mod passthrough;
mod patience;
mod postgres;
mod say;
mod seed;
mod tree;
mod witness;
mod world;
mod writer;

pub use capture::Capture;
pub use compare::{Difference, assert_same, differences};
pub use crash_fs::{CrashFs, Faults, Image, Recording, Unflushed};
pub use daemon::{Daemon, free_port, program, root};
pub use device::{Device, Outcome};
pub use full_disk::SmallDisk;
pub use lan::Lan;
pub use needles::{Needles, windows};
pub use noise::Noise;
pub use oracle::{Oracle, Way};
pub use passthrough::pass_through;
pub use patience::{ARRIVAL, wait_for_content, wait_until};
pub use postgres::Postgres;
pub use say::say;
pub use seed::{Draw, is_long, seed};
pub use tree::{add_oddities, copy_tree, entries_of, pseudo_random, real_tree};
pub use witness::{Exchange, Witness};
pub use world::{PASSWORD, World};
pub use writer::{Place, Writer};
