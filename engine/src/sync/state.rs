//! What sync remembers between starts: how far it has read, every device's chain, what waits.
//!
//! ```text
//! version u8 = 3 | server incarnation u64 | cursor u64 | commit at the cursor 32 | chains
//! waiting: count u32, (version 32 | record 16 | author 16 | replaced: count u32, version 32 *)*
//! put aside: count u32, (device 16 | first: incarnation u32 | seq u64 | commits u64)*
//! own commits since the last checkpoint u32 | its time u64 | reborn u8 (incarnation u32 | seq u64)
//! ```
//!
//! It is a value of the volume's sync state, so it becomes durable together with the records it
//! speaks of. Losing it costs a pass over all commits, which changes nothing.

use super::chains::Chains;
use crate::{MetaKey, Volume};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer, from_slice, to_vec};
use freehold_model::{CommitHash, DeviceId, RecordId, VersionHash};
use std::collections::BTreeMap;

const VERSION: u8 = 3;

/// Versions waiting for their chunks; more are not read further than this.
const WAITING_MAX: usize = 4_000_000;
/// Removed devices; an account has far fewer.
const DEVICES_MAX: usize = 4_096;
/// Versions one version replaces, near and far: each save that nobody had seen before the next adds one, so
/// the 64 of the commit format are not its bound.
const REPLACED_MAX: usize = 1 << 20;

/// A version that was named but cannot be shown yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) record: RecordId,
    /// The device that wrote it.
    pub(crate) author: DeviceId,
    pub(crate) supersedes: Vec<VersionHash>,
}

/// What does not count of a removed device's chain, from its first such commit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// The life of the first one.
    pub(crate) incarnation: u32,
    /// Its place.
    pub(crate) seq: u64,
    /// How many there are.
    pub(crate) commits: u64,
}

/// How far sync has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// The server's numbering this is about; 0 before the first contact.
    pub(crate) server_incarnation: u64,
    /// Every commit up to this number is applied, but for the versions in `deferred`.
    pub(crate) cursor: u64,
    /// The commit of that number, by which a numbering that started over is noticed.
    pub(crate) cursor_hash: CommitHash,
    /// Every device's chain as far as it is applied, whoever delivered it.
    pub(crate) chains: Chains,
    /// Versions that cannot be shown yet: their chunks are nowhere near, or nobody has them.
    pub(crate) deferred: BTreeMap<VersionHash, Deferred>,
    /// Removed devices with commits that do not count.
    pub(crate) aside: BTreeMap<DeviceId, Aside>,
    /// Own commits since one carried a root over all heads.
    pub(crate) since_checkpoint: u32,
    /// When that was, seconds since 1970.
    pub(crate) checkpoint_time: u64,
    /// In a later life: the last own commit of the lives before that this device remembers itself.
    pub(crate) remembers: Option<(u32, u64)>,
}

impl SyncState {
    /// What the volume remembers. A value that cannot be read is the same as none.
    pub(crate) fn load(volume: &Volume) -> Self {
        let Some(value) = volume.meta(MetaKey::CURSOR) else { return Self::default() };
        from_slice(&value).unwrap_or_else(|_| {
            tracing::warn!("the sync state is damaged; every commit is read again");
            Self::default()
        })
    }

    /// The value to store with the records it speaks of.
    pub(crate) fn meta(&self) -> (MetaKey, Vec<u8>) {
        (MetaKey::CURSOR, to_vec(self))
    }

    /// Reads a server's numbering from its first commit. What is applied stays so: chains go on.
    pub(crate) fn restart(&mut self, server_incarnation: u64) {
        self.server_incarnation = server_incarnation;
        self.cursor = 0;
        self.cursor_hash = CommitHash::default();
    }
}

impl Encode for SyncState {
    fn encode(&self, out: &mut Writer) {
        out.u8(VERSION)
            .u64(self.server_incarnation)
            .u64(self.cursor)
            .put(&self.cursor_hash)
            .put(&self.chains);
        put_count(out, self.deferred.len());
        for (version, deferred) in &self.deferred {
            out.put(version).put(&deferred.record).put(&deferred.author);
            put_hashes(out, &deferred.supersedes);
        }
        put_count(out, self.aside.len());
        for (device, Aside { incarnation, seq, commits }) in &self.aside {
            out.put(device).u32(*incarnation).u64(*seq).u64(*commits);
        }
        out.u32(self.since_checkpoint).u64(self.checkpoint_time).u8(u8::from(self.remembers.is_some()));
        if let Some((incarnation, seq)) = self.remembers {
            out.u32(incarnation).u64(seq);
        }
    }
}

impl Decode for SyncState {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(&[VERSION], "sync state version")?;
        let mut state = Self {
            server_incarnation: input.u64()?,
            cursor: input.u64()?,
            cursor_hash: input.get()?,
            chains: input.get()?,
            ..Self::default()
        };
        for _ in 0..input.count(WAITING_MAX, 68)? {
            let (version, record, author) = (input.get()?, input.get()?, input.get()?);
            state.deferred.insert(version, Deferred { record, author, supersedes: hashes(input)? });
        }
        for _ in 0..input.count(DEVICES_MAX, 36)? {
            let device = input.get()?;
            let aside = Aside { incarnation: input.u32()?, seq: input.u64()?, commits: input.u64()? };
            state.aside.insert(device, aside);
        }
        (state.since_checkpoint, state.checkpoint_time) = (input.u32()?, input.u64()?);
        state.remembers = match input.u8()? {
            0 => None,
            1 => Some((input.u32()?, input.u64()?)),
            _ => return Err(DecodeError::Invalid("flag")),
        };
        Ok(state)
    }
}

fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("lists are far below four billion"));
}

fn put_hashes(out: &mut Writer, hashes: &[VersionHash]) {
    put_count(out, hashes.len());
    hashes.iter().for_each(|hash| hash.encode(out));
}

fn hashes(input: &mut Reader<'_>) -> Result<Vec<VersionHash>, DecodeError> {
    let count = input.count(REPLACED_MAX, VersionHash::LEN)?;
    (0..count).map(|_| input.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[test]
    fn state_comes_back_from_the_volume_and_damage_reads_as_none() {
        let volume = Volume::in_memory(0, 0, Box::new(SystemClock));
        assert_eq!(SyncState::load(&volume), SyncState::default());
        let waiting = Deferred {
            record: RecordId::from_bytes([3; 16]),
            author: DeviceId::from_bytes([7; 16]),
            // More than one commit may name: what was never shown leads on to what it replaced itself.
            supersedes: (0..100).map(|number| VersionHash::from_bytes([number; 32])).collect(),
        };
        let aside = Aside { incarnation: 1, seq: 13, commits: 2 };
        let state = SyncState {
            server_incarnation: 7,
            cursor: 9,
            cursor_hash: CommitHash::from_bytes([8; 32]),
            deferred: BTreeMap::from([(VersionHash::from_bytes([5; 32]), waiting)]),
            aside: BTreeMap::from([(DeviceId::from_bytes([6; 16]), aside)]),
            since_checkpoint: 3,
            remembers: Some((1, 4)),
            ..SyncState::default()
        };
        volume.set_meta(vec![state.meta()]);
        assert_eq!(SyncState::load(&volume), state);
        volume.set_meta(vec![(MetaKey::CURSOR, b"noise".to_vec())]);
        assert_eq!(SyncState::load(&volume), SyncState::default());
    }
}
