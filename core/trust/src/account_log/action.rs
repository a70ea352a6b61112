//! What an account log entry can say.

use super::RevokeIntent;
use crate::device_cert::{DeviceName, SignedDeviceCert, XWingPublic};
use crate::kdf_params::KdfParams;
use crate::limits;
use crate::sign::PublicKey;
use crate::statement::ascending;
use freehold_model::DeviceId;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

/// One change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts the account; the first entry and only that. Account root generation 1. Signed by both
    /// paths as well.
    Genesis(Box<Genesis>),
    /// Adds a device. Signed by a live device or by the new one itself, and second by a secret.
    AddDevice(Box<SignedDeviceCert>),
    /// Ends a device, by an intent that carries the revoker's signature and a secret's. Any live
    /// device may enter it.
    RevokeDevice(Box<RevokeIntent>),
    /// Replaces the recovery key. Second signature by the old one or the password, and the new
    /// path's own.
    SetRecovery(Box<UnlockPath>),
    /// Replaces the password or its hashing cost. Second signature by the old one or recovery, and
    /// the new path's own.
    SetKdf(Box<SetKdf>),
    /// Starts a new account root generation, sealed to every live path.
    Rotate(Rotate),
    /// Gives a live device another name to be shown under. Its certificate stays as it is.
    NameDevice(NameDevice),
}

impl Action {
    /// Whether a device's signature alone does not suffice.
    #[must_use]
    pub const fn needs_second(&self) -> bool {
        match self {
            // A revocation's second signature is inside its intent.
            Self::Genesis(_) | Self::RevokeDevice(_) | Self::Rotate(_) | Self::NameDevice(_) => false,
            Self::AddDevice(_) | Self::SetRecovery(_) | Self::SetKdf(_) => true,
        }
    }

    /// The unlock paths the change puts in force, each of which must sign it, in that order.
    pub fn installs(&self) -> impl Iterator<Item = &UnlockPath> {
        let paths = match self {
            Self::Genesis(genesis) => [Some(&genesis.password), Some(&genesis.recovery)],
            Self::SetRecovery(path) => [Some(path.as_ref()), None],
            Self::SetKdf(set) => [Some(&set.password), None],
            Self::AddDevice(_) | Self::RevokeDevice(_) | Self::Rotate(_) | Self::NameDevice(_) => {
                [None, None]
            }
        };
        paths.into_iter().flatten()
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Genesis(_) => 1,
            Self::AddDevice(_) => 2,
            Self::RevokeDevice(_) => 3,
            Self::SetRecovery(_) => 4,
            Self::SetKdf(_) => 5,
            Self::Rotate(_) => 6,
            Self::NameDevice(_) => 7,
        }
    }
}

impl Encode for Action {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.kind());
        match self {
            Self::Genesis(genesis) => out.put(genesis.as_ref()),
            Self::AddDevice(cert) => out.put(cert.as_ref()),
            Self::RevokeDevice(intent) => out.put(intent.as_ref()),
            Self::SetRecovery(path) => out.put(path.as_ref()),
            Self::SetKdf(set) => out.put(set.as_ref()),
            Self::Rotate(rotate) => out.put(rotate),
            Self::NameDevice(name) => out.put(name),
        };
    }
}

impl Decode for Action {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => input.get().map(|genesis| Self::Genesis(Box::new(genesis))),
            2 => input.get().map(|cert| Self::AddDevice(Box::new(cert))),
            3 => input.get().map(|intent| Self::RevokeDevice(Box::new(intent))),
            4 => input.get().map(|path| Self::SetRecovery(Box::new(path))),
            5 => input.get().map(|set| Self::SetKdf(Box::new(set))),
            6 => input.get().map(Self::Rotate),
            7 => input.get().map(Self::NameDevice),
            _ => Err(DecodeError::Unknown("account log action")),
        }
    }
}

/// How an account starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The password's path.
    pub password: UnlockPath,
    /// The recovery key's path.
    pub recovery: UnlockPath,
    /// The first device.
    pub device: SignedDeviceCert,
    /// How the password is hashed.
    pub kdf: KdfParams,
}

impl Encode for Genesis {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.password).put(&self.recovery).put(&self.device).put(&self.kdf);
    }
}

impl Decode for Genesis {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { password: input.get()?, recovery: input.get()?, device: input.get()?, kdf: input.get()? })
    }
}

/// The public halves that a password or a recovery key derives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockPath {
    /// Receives account roots.
    pub xwing_pk: XWingPublic,
    /// Makes second signatures, and signs the entry that installs the path.
    pub sign_pk: PublicKey,
}

impl UnlockPath {
    /// The path's id when it is the password's.
    #[must_use]
    pub fn password_id(&self) -> PathId {
        PathId::Password(self.fingerprint())
    }

    /// The path's id when it is the recovery key's.
    #[must_use]
    pub fn recovery_id(&self) -> PathId {
        PathId::Recovery(self.fingerprint())
    }

    fn fingerprint(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("freehold v1 unlock path");
        hasher.update(self.xwing_pk.as_bytes()).update(self.sign_pk.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        id
    }
}

impl Encode for UnlockPath {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.xwing_pk).put(&self.sign_pk);
    }
}

impl Decode for UnlockPath {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xwing_pk: input.get()?, sign_pk: input.get()? })
    }
}

/// Names one way to unlock an account root: 17 bytes, a kind and an id.
///
/// A new password or recovery key is a new path, so a box for the old one never passes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathId {
    /// A password, by a hash of its public halves.
    Password([u8; 16]),
    /// A recovery key, by a hash of its public halves.
    Recovery([u8; 16]),
    /// A device.
    Device(DeviceId),
}

impl PathId {
    /// Encoded bytes.
    pub const LEN_BYTES: usize = 17;

    /// The kind byte: 1 password, 2 recovery, 3 device.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Password(_) => 1,
            Self::Recovery(_) => 2,
            Self::Device(_) => 3,
        }
    }

    /// The id without the kind.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        match self {
            Self::Password(id) | Self::Recovery(id) => *id,
            Self::Device(device) => device.to_bytes(),
        }
    }
}

impl Encode for PathId {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.kind()).raw(&self.id());
    }
}

impl Decode for PathId {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match (input.u8()?, input.array()?) {
            (1, id) => Ok(Self::Password(id)),
            (2, id) => Ok(Self::Recovery(id)),
            (3, id) => Ok(Self::Device(DeviceId::from_bytes(id))),
            _ => Err(DecodeError::Unknown("unlock path")),
        }
    }
}

/// Replaces the password's path and how it is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetKdf {
    /// The new cost.
    pub kdf: KdfParams,
    /// The path the password derives from now on.
    pub password: UnlockPath,
}

impl Encode for SetKdf {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.kdf).put(&self.password);
    }
}

impl Decode for SetKdf {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { kdf: input.get()?, password: input.get()? })
    }
}

/// Starts an account root generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    generation: u32,
    boxes: Vec<BoxRef>,
}

/// One sealed box of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BoxRef {
    /// The path it is sealed to.
    pub path: PathId,
    /// BLAKE3 of the encoded, signed box.
    pub hash: [u8; 32],
}

impl Rotate {
    /// A rotation to `generation` with one box for every live path.
    ///
    /// # Errors
    /// `TooLong` over 258 boxes, `Invalid` for two boxes of one path.
    pub fn new(generation: u32, mut boxes: Vec<BoxRef>) -> Result<Self, DecodeError> {
        boxes.sort();
        Self { generation, boxes }.checked()
    }

    /// The new generation.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The boxes, by path.
    #[must_use]
    pub fn boxes(&self) -> &[BoxRef] {
        &self.boxes
    }

    fn checked(self) -> Result<Self, DecodeError> {
        if self.boxes.len() > limits::ROTATE_BOXES_MAX {
            return Err(DecodeError::TooLong);
        }
        let paths: Vec<PathId> = self.boxes.iter().map(|entry| entry.path).collect();
        ascending(&paths, "rotation boxes")?;
        Ok(self)
    }
}

impl Encode for Rotate {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.boxes.len()).expect("the constructor bounds the list");
        out.u32(self.generation).u32(count);
        for entry in &self.boxes {
            out.put(&entry.path).raw(&entry.hash);
        }
    }
}

impl Decode for Rotate {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let generation = input.u32()?;
        let count = input.count(limits::ROTATE_BOXES_MAX, PathId::LEN_BYTES + 32)?;
        let boxes = (0..count)
            .map(|_| Ok(BoxRef { path: input.get()?, hash: input.array()? }))
            .collect::<Result<_, DecodeError>>()?;
        Self { generation, boxes }.checked()
    }
}

/// Renames a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDevice {
    /// The device.
    pub device: DeviceId,
    /// What it is called from now on. The server can read this.
    pub name: DeviceName,
}

impl Encode for NameDevice {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.device).put(&self.name);
    }
}

impl Decode for NameDevice {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { device: input.get()?, name: input.get()? })
    }
}
