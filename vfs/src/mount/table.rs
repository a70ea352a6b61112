//! The kernel's mount table, read from `/proc/self/mountinfo`.
//!
//! The table tells what is mounted where without touching any mounted filesystem: a `stat` on a
//! dead mount fails and one on a hung mount hangs. Format: proc(5), `/proc/pid/mountinfo`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The mount's id, unique among live mounts.
    pub(super) id: u64,
    /// Its device number as the kernel writes it: `major:minor`.
    pub(super) device: String,
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Filesystem type with subtype, such as `fuse.freehold`.
    pub(super) fs_type: String,
}

/// The mount on top at exactly `point`, if any.
pub(super) fn mounted_at(point: &Path) -> io::Result<Option<Entry>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?).into_iter().rfind(|entry| entry.point == point))
}

/// Reads the table; lines that do not have the documented form are skipped.
fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
    let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let fs_type = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Entry { id, device, point, fs_type: String::from_utf8_lossy(fs_type).into_owned() })
}

/// Undoes the kernel's `\ooo` escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|digits| *byte == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match octal.and_then(|digits| {
            digits.iter().try_fold(0_u8, |value, digit| value.checked_mul(8)?.checked_add(digit - b'0'))
        }) {
            Some(value) => {
                plain.push(value);
                rest = &after[3..];
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"24 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
        36 24 0:31 / /home/a\\040b rw,nosuid shared:7 master:1 - fuse.freehold freehold rw,user_id=0\n\
        37 36 0:32 / /home/a\\040b rw - tmpfs tmpfs rw\n\
        not a line\n";

    #[test]
    fn escaped_mount_points_and_types_are_read() {
        let entries = parse(TABLE);
        assert_eq!(entries.len(), 3);
        let ours = Entry {
            id: 36,
            device: "0:31".into(),
            point: "/home/a b".into(),
            fs_type: "fuse.freehold".into(),
        };
        assert_eq!(entries[1], ours);
    }

    #[test]
    fn a_backslash_without_three_octal_digits_stands_for_itself() {
        assert_eq!(unescape(br"a\134b\04\999"), br"a\b\04\999");
    }

    #[test]
    fn the_root_of_this_machine_is_in_the_table() {
        assert!(mounted_at(Path::new("/")).expect("procfs is mounted").is_some());
    }
}
