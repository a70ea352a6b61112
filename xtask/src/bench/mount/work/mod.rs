//! The work of one row, done in a process of its own.
//!
//! `./x bench mount` starts itself again for each row: so the processor time of the caller is that of one process and
//! its children, and pinning it pins nothing else. What a row needs beforehand (random bytes in memory, a program's
//! own pages) is made before the clock starts. Contents are random, so nobody gains by compression or by knowing a
//! block already; the work fails when a result is not what it must be.

mod big;
mod latency;
mod programs;
mod random;
mod small;
mod span;

use super::pin;
use anyhow::Result;
use clap::{Args, ValueEnum};
pub(super) use random::Random;
use serde::{Deserialize, Serialize};
pub(super) use span::{Spent, caller_cpu_seconds};
use std::path::PathBuf;

/// What can be done in a contender's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Work {
    /// Creates 10,000 files of 4 KiB in 100 folders.
    Create,
    /// Asks for the attributes of each.
    Stat,
    /// Reads each.
    ReadSmall,
    /// Lists them by `ls -lR`.
    List,
    /// Times every single stat, open and 4 KiB write.
    Latency,
    /// Renames each in its folder.
    Rename,
    /// Deletes them and their folders.
    Delete,
    /// Writes 1 GiB, then one fsync.
    WriteBig,
    /// Reads it.
    ReadBig,
    /// Opens it, changes 4 KiB, fsyncs.
    Edit,
    /// Reads 4 KiB at random places in it.
    RandomRead,
    /// The same by four at a time.
    RandomReadFour,
    /// Writes 4 KiB at random places in it.
    RandomWrite,
    /// Removes it.
    RemoveBig,
    /// Unpacks the source tree.
    Untar,
    /// git init, add, commit, status on it.
    Git,
    /// Removes it by `rm -rf`.
    RemoveTree,
    /// sqlite, one row a transaction, with a rollback journal.
    SqliteDelete,
    /// The same with a write-ahead log.
    SqliteWal,
    /// Writes 4 KiB and fsyncs, again and again.
    Fsync,
    /// Fills a folder with 100,000 names.
    MakeMany,
    /// Renames that folder.
    RenameMany,
}

/// One piece of work, as the parent asks for it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Job {
    pub(super) work: Work,
    /// The contender's folder.
    pub(super) dir: PathBuf,
    /// The source tree.
    #[arg(long)]
    pub(super) tar: PathBuf,
    /// Draws the contents; another one every time.
    #[arg(long)]
    pub(super) seed: u64,
    /// A tenth of the work.
    #[arg(long)]
    pub(super) tenth: bool,
    /// Stays on the first processor.
    #[arg(long)]
    pub(super) pin: bool,
    /// Whose processor time counts as the daemons'.
    #[arg(long)]
    pub(super) daemon: Vec<u32>,
}

impl Job {
    /// So much, or a tenth of it.
    fn scaled(&self, full: usize) -> usize {
        if self.tenth { full / 10 } else { full }
    }
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    /// In the order of the step's rows.
    pub(super) figures: Vec<f64>,
    pub(super) spent: Spent,
}

/// Does the work and prints the outcome as one line of JSON.
pub(in crate::bench) fn run(job: &Job) -> Result<()> {
    if job.pin {
        pin::pin_self()?;
    }
    let outcome = match job.work {
        Work::Create => small::create(job)?,
        Work::Stat => small::stat(job)?,
        Work::ReadSmall => small::read(job)?,
        Work::List => programs::list(job)?,
        Work::Latency => latency::each(job)?,
        Work::Rename => small::rename(job)?,
        Work::Delete => small::delete(job)?,
        Work::WriteBig => big::write(job)?,
        Work::ReadBig => big::read(job)?,
        Work::Edit => big::edit(job)?,
        Work::RandomRead => programs::fio(job, "randread", 1)?,
        Work::RandomReadFour => programs::fio(job, "randread", 4)?,
        Work::RandomWrite => programs::fio(job, "randwrite", 1)?,
        Work::RemoveBig => big::remove(job)?,
        Work::Untar => programs::untar(job)?,
        Work::Git => programs::git(job)?,
        Work::RemoveTree => programs::remove_tree(job)?,
        Work::SqliteDelete => programs::sqlite(job, "delete")?,
        Work::SqliteWal => programs::sqlite(job, "wal")?,
        Work::Fsync => latency::fsync(job)?,
        Work::MakeMany => small::make_many(job)?,
        Work::RenameMany => small::rename_many(job)?,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
