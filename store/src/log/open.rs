//! Opening a log: every segment is read, the last one is made ready for more.
//!
//! Sealed segments are read by their index. The open one is flushed and its cached pages dropped
//! first, so that what is found is on the disk and not only in memory; then it is read record by
//! record and its torn end is cut. A segment that is not the last is never changed.

use super::{Active, Log, Tail, Visitor};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::limits;
use crate::record::Salt;
use crate::recovery::{Recovery, Scan, scan};
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentHeader};
use freehold_model::codec::DecodeError;
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

impl Log {
    /// Opens all segments and reports what each holds, oldest first.
    ///
    /// # Errors
    /// `Format` for files of another version or store, `Io` when the directory cannot be read.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        kind: Kind,
        segment_bytes: u64,
        visit: &mut Visitor<'_>,
    ) -> Result<(Self, Recovery), StoreError> {
        let names = disk.list().map_err(StoreError::io("list the store's directory"))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::parse_file_name(name)).collect();
        numbers.sort_unstable();
        let next_number = numbers.last().map_or(0, |last| last + 1);
        let log = Self {
            disk,
            kind,
            segment_bytes: segment_bytes.min(limits::SEGMENT_BYTES_MAX),
            files: Mutex::new(LruCache::new(
                NonZeroUsize::new(limits::OPEN_FILES).expect("the cap is not zero"),
            )),
            tail: Mutex::new(Tail { active: None, next_number }),
            sizes: Mutex::new(BTreeMap::new()),
            failed: AtomicBool::new(false),
        };
        let mut report = Recovery::default();
        for number in &numbers {
            log.open_segment(*number, numbers.last() == Some(number), &mut report, visit)?;
        }
        Ok((log, report))
    }

    fn open_segment(
        &self,
        number: u32,
        is_last: bool,
        report: &mut Recovery,
        visit: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        let file = self.file(number)?;
        let mut len_bytes = file.len_bytes().map_err(StoreError::io("measure a segment"))?;
        let Some(header) = self.read_header(&*file, number, len_bytes)? else {
            return self.set_aside(number, len_bytes, report);
        };
        report.segments += 1;
        if let Some(entries) = segment::read_seal(&*file, number, len_bytes)? {
            visit(&entries);
        } else {
            report.scanned_segments += 1;
            if is_last {
                // What an earlier process wrote but did not flush must be on the disk, and read
                // from there, before anyone is told it is.
                file.sync_data().map_err(StoreError::io("flush a segment"))?;
                file.drop_cached();
            }
            let found = scan(&*file, number, &header.salt, len_bytes)?;
            report.damaged_stretches += found.damaged_stretches;
            visit(&found.entries);
            if is_last {
                report.torn_bytes += len_bytes.saturating_sub(found.end);
                len_bytes = found.end;
                self.continue_segment(number, file, header.salt, found)?;
            }
        }
        self.sizes.lock().insert(number, len_bytes);
        Ok(())
    }

    /// The header, `None` when its bytes are wrong.
    fn read_header(
        &self,
        file: &dyn DiskFile,
        number: u32,
        len_bytes: u64,
    ) -> Result<Option<SegmentHeader>, StoreError> {
        if len_bytes < SEGMENT_HEADER_BYTES {
            return Ok(None);
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        file.read_exact_at(0, &mut bytes).map_err(StoreError::io("read a segment's header"))?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.kind != self.kind => {
                Err(StoreError::Format("a segment of the other kind of store"))
            }
            Ok(header) => Ok((header.number == number).then_some(header)),
            Err(DecodeError::Unknown(_)) => Err(StoreError::Format("a segment")),
            Err(_) => Ok(None),
        }
    }

    /// A segment without a readable header: one never finished goes, any other stays untouched.
    fn set_aside(&self, number: u32, len_bytes: u64, report: &mut Recovery) -> Result<(), StoreError> {
        if len_bytes <= SEGMENT_HEADER_BYTES {
            // No record was ever written: the header is flushed before the first one.
            return self.remove(number);
        }
        report.damaged_segments += 1;
        self.sizes.lock().insert(number, len_bytes);
        Ok(())
    }

    /// Goes on writing where a scanned segment ends, unless torn bytes lie inside it: then it is
    /// sealed, so that a later scan does not take them for damage.
    fn continue_segment(
        &self,
        number: u32,
        file: Arc<dyn DiskFile>,
        salt: Salt,
        found: Scan,
    ) -> Result<(), StoreError> {
        file.set_len(found.end).map_err(StoreError::io("cut a segment's torn end"))?;
        let mut tail = self.tail.lock();
        tail.active = Some(Active {
            number,
            salt,
            file,
            end: found.end,
            flushed: found.end,
            released: found.end,
            reserved: found.end,
            entries: found.entries,
        });
        if found.has_holes {
            match self.seal(&mut tail) {
                // A full disk only means that the same scan happens again.
                Ok(()) | Err(StoreError::NoSpace) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
