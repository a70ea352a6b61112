//! What sync remembers between starts: how far it has read, every device's chain, what waits.
//!
//! ```text
//! version u8 = 1 | server incarnation u64 | cursor u64 | chains
//! waiting: count u32, (version 32 | record 16 | replaced: count u32, version 32 *)*
//! own commits since the last checkpoint u32 | its time u64
//! ```
//!
//! It is a value of the volume's sync state, so it becomes durable together with the records it
//! speaks of. Losing it costs a pass over all commits, which changes nothing.

use super::chains::Chains;
use crate::{MetaKey, Volume};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer, from_slice, to_vec};
use freehold_model::{RecordId, VersionHash};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Versions waiting for their chunks; more are not read further than this.
const WAITING_MAX: usize = 4_000_000;
/// Versions one version replaces: the commit format's own limit.
const REPLACED_MAX: usize = 64;

/// A version that was named but cannot be shown yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) record: RecordId,
    pub(crate) supersedes: Vec<VersionHash>,
}

/// How far sync has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// The server's numbering this is about; 0 before the first contact.
    pub(crate) server_incarnation: u64,
    /// Every commit up to this number is applied, but for the versions in `deferred`.
    pub(crate) cursor: u64,
    /// Every device's chain up to the cursor.
    pub(crate) chains: Chains,
    /// Versions whose chunks are not on enough nodes yet, or that the server does not have.
    pub(crate) deferred: BTreeMap<VersionHash, Deferred>,
    /// Own commits since one carried a root over all heads.
    pub(crate) since_checkpoint: u32,
    /// When that was, seconds since 1970.
    pub(crate) checkpoint_time: u64,
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

    /// Starts over from the first commit of a server's numbering.
    pub(crate) fn restart(&mut self, server_incarnation: u64) {
        self.server_incarnation = server_incarnation;
        self.cursor = 0;
        self.chains.restart();
        self.deferred.clear();
    }
}

impl Encode for SyncState {
    fn encode(&self, out: &mut Writer) {
        out.u8(VERSION).u64(self.server_incarnation).u64(self.cursor).put(&self.chains);
        out.u32(u32::try_from(self.deferred.len()).expect("versions are far below four billion"));
        for (version, deferred) in &self.deferred {
            out.put(version).put(&deferred.record);
            out.u32(u32::try_from(deferred.supersedes.len()).expect("commits bound the list"));
            deferred.supersedes.iter().for_each(|old| old.encode(out));
        }
        out.u32(self.since_checkpoint).u64(self.checkpoint_time);
    }
}

impl Decode for SyncState {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(&[VERSION], "sync state version")?;
        let (server_incarnation, cursor, chains) = (input.u64()?, input.u64()?, input.get()?);
        let mut deferred = BTreeMap::new();
        for _ in 0..input.count(WAITING_MAX, 52)? {
            let (version, record) = (input.get()?, input.get()?);
            let count = input.count(REPLACED_MAX, VersionHash::LEN)?;
            let supersedes = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
            deferred.insert(version, Deferred { record, supersedes });
        }
        let (since_checkpoint, checkpoint_time) = (input.u32()?, input.u64()?);
        Ok(Self { server_incarnation, cursor, chains, deferred, since_checkpoint, checkpoint_time })
    }
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
            supersedes: vec![VersionHash::from_bytes([4; 32])],
        };
        let state = SyncState {
            server_incarnation: 7,
            cursor: 9,
            deferred: BTreeMap::from([(VersionHash::from_bytes([5; 32]), waiting)]),
            since_checkpoint: 3,
            ..SyncState::default()
        };
        volume.set_meta(vec![state.meta()]);
        assert_eq!(SyncState::load(&volume), state);
        volume.set_meta(vec![(MetaKey::CURSOR, b"noise".to_vec())]);
        assert_eq!(SyncState::load(&volume), SyncState::default());
    }
}
