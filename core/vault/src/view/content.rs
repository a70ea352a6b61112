//! Which content a file shows, and which become conflict copies.

use crate::record::{Content, Record, conflict_id};
use freehold_model::FileId;

/// A losing content value, shown as a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictCopy<'a> {
    /// The derived id, the same on every device. Where a record of that id exists, the record is
    /// shown and this is not.
    pub file: FileId,
    /// The value.
    pub content: &'a Content,
}

/// The current content, and the copies of a conflict from newest to oldest.
///
/// The newest value is current. Values equal to a newer one are dropped. `None` for a purged file
/// and for anything but a file.
#[must_use]
pub fn resolve_content(record: &Record) -> (Option<&Content>, Vec<ConflictCopy<'_>>) {
    let mut values: Vec<&Content> = record.contents().iter().collect();
    values.sort_unstable_by_key(|content| std::cmp::Reverse(content.stamp));
    let mut distinct: Vec<&Content> = Vec::with_capacity(values.len());
    for value in values {
        if !distinct.iter().any(|newer| newer.body.same_plain(&value.body)) {
            distinct.push(value);
        }
    }
    let Some((current, losers)) = distinct.split_first() else { return (None, Vec::new()) };
    let copy = |content: &&'_ Content| conflict_id(&record.file(), &content.stamp.dot);
    let copies = losers.iter().map(|loser| ConflictCopy { file: copy(loser), content: loser }).collect();
    (Some(current), copies)
}
