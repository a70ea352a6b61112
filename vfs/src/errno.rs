//! The one table from engine answers to errno values.
//!
//! POSIX rules answer errno values directly; everything the engine refuses passes through
//! [`from_engine`], so that a caller sees the same number for the same reason whichever operation
//! met it.

use freehold_engine::FsError;
use rustix::io::Errno;

/// The errno value of an engine answer.
pub(crate) fn from_engine(error: FsError) -> Errno {
    match error {
        FsError::NotFound => Errno::NOENT,
        FsError::Exists | FsError::XattrExists => Errno::EXIST,
        FsError::NotDir => Errno::NOTDIR,
        FsError::IsDir => Errno::ISDIR,
        FsError::NotEmpty => Errno::NOTEMPTY,
        FsError::NameTooLong => Errno::NAMETOOLONG,
        FsError::Invalid => Errno::INVAL,
        FsError::NotPermitted => Errno::PERM,
        FsError::TooManyLinks => Errno::MLINK,
        FsError::NoXattr => Errno::NODATA,
        // Names and values over their own limit never reach the engine, so this is the sum per
        // node: a full inode on a disk filesystem.
        FsError::XattrTooBig | FsError::NoSpace => Errno::NOSPC,
        FsError::FileTooBig => Errno::FBIG,
        FsError::Unreachable | FsError::Damaged | FsError::Io | FsError::Closed => Errno::IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_cannot_be_delivered_is_an_input_output_error() {
        for error in [FsError::Unreachable, FsError::Damaged, FsError::Io, FsError::Closed] {
            assert_eq!(from_engine(error), Errno::IO);
        }
    }

    #[test]
    fn a_full_disk_and_a_full_node_are_both_no_space() {
        assert_eq!(from_engine(FsError::NoSpace), Errno::NOSPC);
        assert_eq!(from_engine(FsError::XattrTooBig), Errno::NOSPC);
    }
}
