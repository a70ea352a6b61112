//! The brake on mass deletion: what one device deletes at once is held here until a person decides.
//!
//! A deletion that would take away more than a share of the files shown is not merged. Its versions
//! stay in this list, which is sync state like the cursor and becomes durable with it; everything
//! else goes on, and nothing is lost either way, because a record that is merged late merges alike.
//! While anything of a device is held, its further deletions join it. What is no deletion any more
//! (an edit won, the name was taken by a new file, as when a program replaces a tree) is let through.
//!
//! ```text
//! one value a part: (version 32 | replaced: count u32, version 32 * | record: len u32, bytes)*
//! ```

use super::limits::{BRAKE_FILES, BRAKE_PART_BYTES, BRAKE_PERCENT, BRAKE_RECHECK, BRAKE_WINDOW_MS};
use crate::tables::Tables;
use crate::{FsError, Ino, MetaKey, RemoteVersion, Volume};
use freehold_model::codec::{DecodeError, Encode, Reader, Writer};
use freehold_model::{DeviceId, FileId, VersionHash};
use freehold_vault::record::{Place, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Versions one version replaces, near and far: each save that nobody had seen before the next adds one, so
/// the 64 of the commit format are not its bound.
const REPLACED_MAX: usize = 1 << 20;

/// What is held, and what went through lately.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    parts: BTreeMap<u16, Vec<RemoteVersion>>,
    /// The files that would go, by the device that deleted them.
    files: BTreeMap<DeviceId, BTreeSet<Ino>>,
    /// Files that each device took away within the window, and since when.
    recent: BTreeMap<DeviceId, (u64, usize)>,
}

/// What is to be done with a step.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// To merge: what was not held, and what was let go.
    pub(crate) apply: Vec<RemoteVersion>,
    /// To store with it.
    pub(crate) meta: Vec<(MetaKey, Vec<u8>)>,
}

/// A device and how many files its held deletions would take away.
pub(crate) type HeldFiles = (DeviceId, usize);

impl Brake {
    /// What the volume remembers. A part that cannot be read holds nothing: its versions come again
    /// with the next pass over all commits.
    ///
    /// # Errors
    /// `Io` when a row cannot be read: what is not counted would be let go.
    pub(crate) fn load(volume: &Volume) -> Result<Self, FsError> {
        let mut brake = Self::default();
        for (part, value) in volume.held_parts() {
            match decode(&value) {
                Ok(versions) => drop(brake.parts.insert(part, versions)),
                Err(_) => tracing::warn!("a list of held deletions is damaged"),
            }
        }
        let _awake = volume.wake_concerned(&brake.held().collect::<Vec<_>>())?;
        brake.count(&volume.lock());
        Ok(brake)
    }

    /// Whether a step can change what becomes of what is held: then [`Self::sort`] looks at all of that. A long
    /// list is not looked at in every step: what an edit here frees goes when people decide.
    pub(crate) fn is_touched(&self, step: &[RemoteVersion]) -> bool {
        let Touch { replaced, coming, files } = Touch::of(step);
        self.is_short()
            || self.held().any(|version| {
                let record = &version.record;
                replaced.contains(&version.version)
                    || files.contains(&record.file())
                    || record.unlinked_from().is_some_and(|place| coming.contains(place))
            })
    }

    fn is_short(&self) -> bool {
        self.parts.values().map(Vec::len).sum::<usize>() <= BRAKE_RECHECK
    }

    /// Parts a step into what may be merged and what is held. All that is concerned by the step must be awake,
    /// and by what is held, if the step touches that.
    pub(crate) fn sort(&mut self, tables: &Tables, versions: Vec<RemoteVersion>) -> Sorted {
        let mut sorted = self.release(tables, &versions);
        let removers: Vec<Option<DeviceId>> =
            versions.iter().map(|version| tables.remover(version)).collect();
        let held: BTreeSet<VersionHash> = self.held_hashes();
        let braked = self.braked(tables, &versions, &removers);
        let retaken = retaken(tables, &versions, &removers, &braked);
        let mut hold = Vec::new();
        for (version, remover) in versions.into_iter().zip(removers) {
            let is_braked = remover.is_some_and(|device| braked.contains(&device));
            if !is_braked || retaken.contains(&version.record.file()) {
                sorted.apply.push(version);
            } else if !held.contains(&version.version) {
                hold.push(version);
            }
        }
        sorted.meta.extend(self.hold(tables, hold));
        sorted
    }

    /// Forgets deletions that do not count; what is to be stored for that.
    pub(crate) fn disown(
        &mut self,
        tables: &Tables,
        late: &BTreeSet<VersionHash>,
    ) -> Vec<(MetaKey, Vec<u8>)> {
        let mut meta = Vec::new();
        for (part, versions) in &mut self.parts {
            let before = versions.len();
            versions.retain(|version| !late.contains(&version.version));
            if versions.len() != before {
                meta.push((MetaKey::held(*part), encode(versions)));
            }
        }
        self.parts.retain(|_, versions| !versions.is_empty());
        self.count(tables);
        meta
    }

    /// Takes out everything that is held.
    pub(crate) fn take(&mut self) -> Sorted {
        self.recent.clear();
        self.files.clear();
        let parts = std::mem::take(&mut self.parts);
        let meta = parts.keys().map(|part| (MetaKey::held(*part), Vec::new())).collect();
        Sorted { apply: parts.into_values().flatten().collect(), meta }
    }

    /// How many files would go, by device.
    pub(crate) fn held_files(&self) -> Vec<HeldFiles> {
        self.files.iter().map(|(device, files)| (*device, files.len())).collect()
    }

    /// The versions that are held.
    pub(crate) fn held(&self) -> impl Iterator<Item = &RemoteVersion> {
        self.parts.values().flatten()
    }

    fn count(&mut self, tables: &Tables) {
        self.files.clear();
        for version in self.parts.values().flatten() {
            if let Some(device) = tables.remover(version) {
                tables.files_taken(version, self.files.entry(device).or_default());
            }
        }
    }

    fn held_hashes(&self) -> BTreeSet<VersionHash> {
        self.held().map(|version| version.version).collect()
    }

    /// Lets go what deletes nothing any more, and forgets what a newer version replaces.
    fn release(&mut self, tables: &Tables, step: &[RemoteVersion]) -> Sorted {
        let mut sorted = Sorted::default();
        if self.parts.is_empty() || !self.is_touched(step) {
            return sorted;
        }
        let (is_short, Touch { replaced, coming, files }) = (self.is_short(), Touch::of(step));
        let mut changed = Vec::new();
        for (part, versions) in &mut self.parts {
            let before = versions.len();
            versions.retain(|version| {
                let is_free = version.record.unlinked_from().is_some_and(|place| coming.contains(place))
                    || ((is_short || files.contains(&version.record.file()))
                        && tables.remover(version).is_none());
                let is_replaced = replaced.contains(&version.version);
                if is_free && !is_replaced {
                    sorted.apply.push(version.clone());
                }
                !is_free && !is_replaced
            });
            if versions.len() != before {
                changed.push(*part);
            }
        }
        for part in changed {
            let versions = self.parts.get(&part).map_or(&[][..], Vec::as_slice);
            sorted.meta.push((MetaKey::held(part), encode(versions)));
        }
        self.parts.retain(|_, versions| !versions.is_empty());
        if !sorted.meta.is_empty() {
            self.count(tables);
        }
        // Folders alone are no mass deletion.
        if self.files.values().all(BTreeSet::is_empty) {
            let Sorted { apply, meta } = self.take();
            sorted.apply.extend(apply);
            sorted.meta.extend(meta);
        }
        sorted
    }

    /// The devices whose deletions are held from now on.
    fn braked(
        &mut self,
        tables: &Tables,
        versions: &[RemoteVersion],
        removers: &[Option<DeviceId>],
    ) -> BTreeSet<DeviceId> {
        let mut braked: BTreeSet<DeviceId> = self.files.keys().copied().collect();
        let mut files: BTreeMap<DeviceId, BTreeSet<Ino>> = BTreeMap::new();
        for (version, remover) in versions.iter().zip(removers) {
            if let Some(device) = remover.filter(|device| !braked.contains(device)) {
                tables.files_taken(version, files.entry(device).or_default());
            }
        }
        let now_ms = tables.now.millis();
        self.recent.retain(|_, (since, _)| now_ms.saturating_sub(*since) < BRAKE_WINDOW_MS);
        for (device, files) in files {
            let earlier = self.recent.get(&device).map_or(0, |(_, files)| *files);
            if is_mass(tables, earlier + files.len())
                && is_mass(tables, earlier + still_gone(tables, versions, removers, &device, &files))
            {
                braked.insert(device);
            } else {
                self.recent.entry(device).or_insert((now_ms, 0)).1 += files.len();
            }
        }
        braked
    }

    /// Adds versions to the list; what of it is to be stored.
    fn hold(&mut self, tables: &Tables, versions: Vec<RemoteVersion>) -> Option<(MetaKey, Vec<u8>)> {
        if versions.is_empty() {
            return None;
        }
        for version in &versions {
            if let Some(device) = tables.remover(version) {
                tables.files_taken(version, self.files.entry(device).or_default());
            }
        }
        let last = self.parts.last_key_value().map(|(part, _)| *part);
        let has_room = last
            .and_then(|part| self.parts.get(&part))
            .is_some_and(|held| encode(held).len() < BRAKE_PART_BYTES);
        let part = match last {
            Some(part) if has_room || part == MetaKey::HELD_PARTS => part,
            Some(part) => part + 1,
            None => 0,
        };
        let held = self.parts.entry(part).or_default();
        held.extend(versions);
        Some((MetaKey::held(part), encode(held)))
    }
}

/// What a step speaks of.
struct Touch<'a> {
    replaced: BTreeSet<&'a VersionHash>,
    coming: BTreeSet<&'a Place>,
    files: BTreeSet<FileId>,
}

impl<'a> Touch<'a> {
    fn of(step: &'a [RemoteVersion]) -> Self {
        let links = step.iter().flat_map(|version| version.record.links());
        Self {
            replaced: step.iter().flat_map(|version| &version.supersedes).collect(),
            coming: links.map(|link| &link.place).collect(),
            files: step.iter().map(|version| version.record.file()).collect(),
        }
    }
}

/// Whether so many files at once are more than a person usually deletes.
fn is_mass(tables: &Tables, files: usize) -> bool {
    files > BRAKE_FILES && files > tables.shown_count() * BRAKE_PERCENT / 100
}

/// How many of a device's files leave a name that nobody took.
fn still_gone(
    tables: &Tables,
    versions: &[RemoteVersion],
    removers: &[Option<DeviceId>],
    device: &DeviceId,
    files: &BTreeSet<Ino>,
) -> usize {
    let braked = BTreeSet::from([*device]);
    files.len().saturating_sub(retaken(tables, versions, removers, &braked).len())
}

/// The files of these devices' deletions whose names others have taken, here or in the same step.
fn retaken(
    tables: &Tables,
    versions: &[RemoteVersion],
    removers: &[Option<DeviceId>],
    braked: &BTreeSet<DeviceId>,
) -> BTreeSet<FileId> {
    if braked.is_empty() {
        return BTreeSet::new();
    }
    let coming: BTreeSet<&Place> =
        versions.iter().flat_map(|version| version.record.links()).map(|link| &link.place).collect();
    let leaving = versions
        .iter()
        .zip(removers)
        .filter(|(_, remover)| remover.as_ref().is_some_and(|device| braked.contains(device)));
    let left: Vec<(FileId, &Place)> = leaving
        .filter_map(|(version, _)| Some((version.record.file(), version.record.unlinked_from()?)))
        .collect();
    let mut retaken = tables.places_retaken(&left);
    retaken.extend(left.iter().filter(|(_, place)| coming.contains(place)).map(|(file, _)| *file));
    retaken
}

fn encode(versions: &[RemoteVersion]) -> Vec<u8> {
    let mut out = Writer::new();
    for RemoteVersion { version, supersedes, record } in versions {
        out.put(version).u32(u32::try_from(supersedes.len()).expect("far below four billion"));
        supersedes.iter().for_each(|old| old.encode(&mut out));
        out.var_bytes(&record.to_bytes());
    }
    out.into_vec()
}

fn decode(value: &[u8]) -> Result<Vec<RemoteVersion>, DecodeError> {
    let mut input = Reader::new(value);
    let mut versions = Vec::new();
    while input.remaining() > 0 {
        let version = input.get()?;
        let replaced = input.count(REPLACED_MAX, VersionHash::LEN)?;
        let supersedes = (0..replaced).map(|_| input.get()).collect::<Result<_, _>>()?;
        let record = Record::from_bytes(input.var_bytes(freehold_vault::limits::RECORD_PLAIN_BYTES_MAX)?)?;
        versions.push(RemoteVersion { version, supersedes, record });
    }
    Ok(versions)
}
