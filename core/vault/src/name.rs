//! Names in directories: which bytes may stand there, and how a conflict copy is called.
//!
//! Names are the creator's bytes, compared byte by byte; nothing is normalised. What another
//! system cannot show is escaped at its mount, never in the record.

use crate::limits::{EXTENSION_BYTES_MAX, LABEL_BYTES_MAX, NAME_BYTES_MAX};

/// The bytes cannot be a name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Over 255 bytes (ENAMETOOLONG).
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Empty, `.`, `..`, or with a `/` or NUL byte (EINVAL).
    #[error("a name cannot be empty, . or .., nor hold a slash or a zero byte")]
    Forbidden,
}

/// Checks a name.
///
/// # Errors
/// `TooLong`, `Forbidden`.
pub fn validate(name: &[u8]) -> Result<(), NameError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let special = name.is_empty() || name == b"." || name == b"..";
    if special || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(NameError::Forbidden);
    }
    Ok(())
}

/// The name of a conflict copy: `report (conflict, laptop 2026-11-23 14.12.05).odt`.
///
/// `label` names the device that wrote the losing value, `millis` is when, both from its stamp and
/// certificate, so every device makes the same name. `number` from 2 up tells copies apart that
/// would be called the same. The stem is cut on a character boundary where 255 bytes are too few.
#[must_use]
pub fn conflict_name(name: &[u8], label: &str, millis: u64, number: u32) -> Vec<u8> {
    let (stem, extension) = split_extension(name);
    let mut suffix = format!(" (conflict, {} {})", clean_label(label), utc(millis));
    if number > 1 {
        suffix.push_str(&format!(" {number}"));
    }
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len() + extension.len());
    [cut_on_char(stem, room), suffix.as_bytes(), extension].concat()
}

/// Whether a name has the form [`conflict_name`] gives. A user may choose such a name too: only with
/// the derived id ([`crate::record::Record::is_copy`]) does it mean something.
#[must_use]
pub fn is_conflict_name(name: &[u8]) -> bool {
    let marker = b" (conflict, ";
    let Some(at) = name.windows(marker.len()).rposition(|window| window == marker) else { return false };
    let Some(rest) = name.get(at + marker.len()..) else { return false };
    let Some(end) = rest.windows(MOMENT_END.len()).position(is_moment_end) else { return false };
    // What follows is a number, an extension, or nothing.
    rest.get(end + MOMENT_END.len()..)
        .is_some_and(|tail| tail.first().is_none_or(|byte| matches!(byte, b' ' | b'.')))
}

/// The end of the suffix, digits as `0`.
const MOMENT_END: &[u8] = b" 0000-00-00 00.00.00)";

fn is_moment_end(bytes: &[u8]) -> bool {
    let shape = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    bytes.iter().map(shape).eq(MOMENT_END.iter().copied())
}

/// A plain name beside another: `report 2.odt`. The stem is cut where 255 bytes are too few.
#[must_use]
pub fn numbered_name(name: &[u8], number: u32) -> Vec<u8> {
    let (stem, extension) = split_extension(name);
    let suffix = format!(" {number}");
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len() + extension.len());
    [cut_on_char(stem, room), suffix.as_bytes(), extension].concat()
}

/// Splits before the extension's dot. `.tar.gz` and its like are one extension; a leading dot and
/// an over-long tail are none.
fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    let (stem, extension) = split_last_dot(name);
    match split_last_dot(stem) {
        (inner, b".tar") if !extension.is_empty() => name.split_at(inner.len()),
        _ => (stem, extension),
    }
}

fn split_last_dot(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
    let tail = name.len() - dot;
    if dot == 0 || !(2..=EXTENSION_BYTES_MAX + 1).contains(&tail) { (name, &[]) } else { name.split_at(dot) }
}

/// At most `room` bytes, never ending inside a UTF-8 character.
fn cut_on_char(bytes: &[u8], room: usize) -> &[u8] {
    if bytes.len() <= room {
        return bytes;
    }
    let is_boundary = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    // A character has at most three continuation bytes; more is not UTF-8 and is cut anywhere.
    let end = (room.saturating_sub(3)..=room).rev().find(is_boundary).unwrap_or(room);
    bytes.split_at(end).0
}

fn clean_label(label: &str) -> String {
    let clean: String = label.chars().map(|c| if c == '/' || c.is_control() { '-' } else { c }).collect();
    let cut = cut_on_char(clean.as_bytes(), LABEL_BYTES_MAX);
    String::from_utf8_lossy(cut).into_owned()
}

/// `2026-11-23 14.12.05` in UTC: local time would differ from device to device.
fn utc(millis: u64) -> String {
    let (days, second) = (millis / 86_400_000, millis / 1_000 % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02} {:02}.{:02}.{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// Days since 1970 to a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`), for days that are not negative.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: u64 = 1_795_443_125_999;

    fn conflict(name: &str) -> String {
        String::from_utf8(conflict_name(name.as_bytes(), "laptop", MOMENT, 1)).expect("UTF-8 in, UTF-8 out")
    }

    #[test]
    fn forbidden_names_are_told_from_long_ones() {
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert_eq!(validate(name), Err(NameError::Forbidden), "{name:?}");
        }
        assert_eq!(validate(&[b'x'; 256]), Err(NameError::TooLong));
        for name in [&b"..."[..], b"\n", b"\xff", &[b'x'; 255]] {
            assert_eq!(validate(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn the_suffix_stands_before_the_extension() {
        assert_eq!(conflict("report.odt"), "report (conflict, laptop 2026-11-23 14.12.05).odt");
        assert_eq!(conflict("Makefile"), "Makefile (conflict, laptop 2026-11-23 14.12.05)");
        assert_eq!(conflict(".profile"), ".profile (conflict, laptop 2026-11-23 14.12.05)");
        assert_eq!(conflict("a.b.tar.gz"), "a.b (conflict, laptop 2026-11-23 14.12.05).tar.gz");
        assert_eq!(conflict("dot."), "dot. (conflict, laptop 2026-11-23 14.12.05)");
        assert_eq!(conflict(".tar.gz"), ".tar (conflict, laptop 2026-11-23 14.12.05).gz");
    }

    #[test]
    fn a_second_copy_is_numbered() {
        let name = conflict_name(b"a.txt", "x", 0, 2);
        assert_eq!(name, b"a (conflict, x 1970-01-01 00.00.00) 2.txt");
    }

    #[test]
    fn a_long_stem_is_cut_on_a_character_boundary() {
        for (stem, pad) in [("ä", 0), ("ä", 1), ("漢", 0), ("漢", 1), ("🦀", 2), ("🦀", 3)] {
            let long = "a".repeat(pad) + &stem.repeat(60) + ".txt";
            let long = format!("{}{long}", "b".repeat(251_usize.saturating_sub(long.len())));
            let name = conflict_name(long.as_bytes(), "laptop", MOMENT, 1);
            assert_eq!(validate(&name), Ok(()), "{stem} {pad}");
            let text = std::str::from_utf8(&name).expect("no character was cut");
            assert!(text.ends_with(".txt"), "{text}");
        }
    }

    #[test]
    fn hostile_names_and_labels_still_give_valid_names() {
        for name in [vec![0x80; 255], vec![0xff; 255], vec![b'.'; 255], vec![b'x'; 255]] {
            for label in ["", "a/b\n\0", &"é".repeat(500)] {
                assert_eq!(validate(&conflict_name(&name, label, u64::MAX >> 16, u32::MAX)), Ok(()));
            }
        }
    }

    #[test]
    fn names_of_conflict_copies_are_told_from_others() {
        for name in ["report.odt", "Makefile", ".profile", "a.b.tar.gz", "odd (conflict, x).txt"] {
            for number in [1, 2, 17] {
                assert!(is_conflict_name(&conflict_name(name.as_bytes(), "my (old) laptop", MOMENT, number)));
            }
            assert!(!is_conflict_name(name.as_bytes()), "{name}");
        }
        assert!(!is_conflict_name(b"a (conflict, laptop 2026-11-23 14.12.05)x"));
        assert!(!is_conflict_name(b"a (conflict, laptop 2026-11-23)"));
    }

    #[test]
    fn a_numbered_name_keeps_the_extension_and_the_limit() {
        assert_eq!(numbered_name(b"report.odt", 2), b"report 2.odt");
        assert_eq!(numbered_name(b"a.tar.gz", 12), b"a 12.tar.gz");
        assert_eq!(validate(&numbered_name(&[b'x'; 255], u32::MAX)), Ok(()));
    }

    #[test]
    fn dates_follow_the_calendar() {
        let day = |millis| utc(millis).split_once(' ').map(|(day, _)| day.to_owned());
        for (millis, expected) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (4_107_456_000_000, "2100-02-28"),
            (4_107_542_400_000, "2100-03-01"),
            (1_798_761_599_000, "2026-12-31"),
        ] {
            assert_eq!(day(millis).as_deref(), Some(expected), "{millis}");
        }
    }
}
