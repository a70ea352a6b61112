//! How this device cuts: the vault's chunker, and which profile a content gets.

use freehold_crypto::VaultKeyring;
use freehold_vault::limits::SMALL_BYTES_MAX;
use freehold_vault::{Chunked, Chunker, Profile, has_fast_aes};

/// Separate places changed in one cut from which on a file counts as patched at random.
const PATCHES_MIN: usize = 32;

/// The largest file that is turned to blocks for its patches: all of it is read for that, from elsewhere too.
const TURNED_BYTES_MAX: u64 = 4 << 30;

/// What cuts are made with.
#[derive(Debug)]
pub(crate) struct Cutting {
    pub(crate) chunker: Chunker,
    pub(crate) has_fast_aes: bool,
}

/// How a content was written, as far as it tells how it will be written on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// What the pieces sealed ahead are cut by, if there are any.
    pub(crate) ahead: Option<Profile>,
    /// Pieces sealed ahead were changed again and again.
    pub(crate) is_rewritten: bool,
    /// Bytes that nobody wrote.
    pub(crate) hole_bytes: u64,
    /// Changed places with a part of a version behind them.
    pub(crate) patches: usize,
}

impl Cutting {
    /// For a vault, on this machine.
    pub(crate) fn new(keyring: &VaultKeyring) -> Self {
        Self { chunker: Chunker::new(keyring.chunker_key()), has_fast_aes: has_fast_aes() }
    }

    /// What pieces of a growing file are cut by; `before` is its content before.
    pub(crate) fn of_growing(&self, before: Option<Profile>) -> Profile {
        Profile::of_growing(before, self.has_fast_aes)
    }

    /// What a content is cut by.
    ///
    /// Files that programs patch at random (disk images, databases, downloads that fill up) get fixed blocks, which
    /// no patch moves: new ones over 16 MiB that are mostly holes, or that were changed behind their growing end 32
    /// times; and large ones changed at 32 places at once, where a block is a quarter of a piece. Medium ones keep
    /// theirs: a piece of 139 KiB is less than a block.
    pub(crate) fn choose(&self, size: u64, previous: Option<&Chunked>, shape: &Shape) -> Profile {
        let before = previous.and_then(profile_of);
        let profile = Profile::choose(size, shape.ahead.or(before), self.has_fast_aes);
        let is_new = !matches!(before, Some(Profile::Fixed256K | Profile::Medium | Profile::Large));
        let will_be_patched = if is_new {
            size > SMALL_BYTES_MAX && (shape.is_rewritten || shape.hole_bytes > size / 2)
        } else {
            profile == Profile::Large && shape.patches >= PATCHES_MIN && size <= TURNED_BYTES_MAX
        };
        if will_be_patched { Profile::Fixed256K } else { profile }
    }
}

/// What a version was cut by; `None` for a later build's profile.
pub(crate) fn profile_of(content: &Chunked) -> Option<Profile> {
    Profile::from_number(content.profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_crypto::{Cek, RootSalt, Secret32};
    use freehold_model::ChunkId;

    const MIB: u64 = 1 << 20;

    fn cutting() -> Cutting {
        Cutting { chunker: Chunker::new(&Secret32::from_bytes([1; 32])), has_fast_aes: true }
    }

    fn version(profile: Profile) -> Chunked {
        Chunked {
            size: 1,
            profile: profile.number(),
            root: ChunkId::from_bytes([0; 32]),
            root_salt: RootSalt::from_bytes([0; 16]),
            cek: Cek::from_bytes([0; 32]),
            plain_hash: [0; 32],
        }
    }

    #[test]
    fn new_files_that_will_be_filled_in_place_get_fixed_blocks() {
        let image = Shape { hole_bytes: 60 * MIB, ..Shape::default() };
        let download = Shape { ahead: Some(Profile::Medium), is_rewritten: true, ..Shape::default() };
        for shape in [image, download] {
            assert_eq!(cutting().choose(100 * MIB, None, &shape), Profile::Fixed256K);
            let medium = version(Profile::Medium);
            assert_eq!(cutting().choose(100 * MIB, Some(&medium), &shape), Profile::Medium);
        }
        let few_holes = Shape { hole_bytes: 40 * MIB, ..Shape::default() };
        assert_eq!(cutting().choose(100 * MIB, None, &few_holes), Profile::Medium);
        let small = Shape { hole_bytes: 9 * MIB, ..Shape::default() };
        assert_eq!(cutting().choose(10 * MIB, None, &small), Profile::Small);
    }

    #[test]
    fn large_files_patched_at_many_places_get_fixed_blocks_and_keep_them() {
        let (large, medium) = (version(Profile::Large), version(Profile::Medium));
        let patched = Shape { patches: 32, ..Shape::default() };
        assert_eq!(cutting().choose(4_096 * MIB, Some(&large), &patched), Profile::Fixed256K);
        assert_eq!(cutting().choose(4_097 * MIB, Some(&large), &patched), Profile::Large);
        assert_eq!(cutting().choose(9_000 * MIB, Some(&medium), &patched), Profile::Medium);
        let few = Shape { patches: 31, ..Shape::default() };
        assert_eq!(cutting().choose(9_000 * MIB, Some(&large), &few), Profile::Large);
        let fixed = version(Profile::Fixed256K);
        assert_eq!(cutting().choose(9_000 * MIB, Some(&fixed), &few), Profile::Fixed256K);
    }

    #[test]
    fn a_file_sealed_while_it_grew_is_cut_as_its_pieces_are() {
        let grown = Shape { ahead: Some(Profile::Medium), ..Shape::default() };
        assert_eq!(cutting().choose(5_000 * MIB, None, &grown), Profile::Medium);
        assert_eq!(cutting().choose(5_000 * MIB, None, &Shape::default()), Profile::Large);
    }
}
