//! A box opens for its path, from its signer, for its account and generation only.

use super::{HEADER_LEN, UnlockBox, UnlockContent};
use crate::account::AccountRoot;
use crate::device::DeviceSecret;
use crate::error::OpenError;
use crate::limits::UNLOCK_BOX_LEN;
use crate::recovery::RecoveryKey;
use crate::secret::Secret32;
use crate::testing::{Seeded, bit_flips};
use crate::unlock::UnlockKeys;
use crate::xwing::BadPublicKey;
use freehold_model::{AccountId, DeviceId, LogHash};
use freehold_trust::account_log::PathId;
use freehold_trust::{Label, SignKey, XWingPublic};

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
const SIGNER: DeviceId = DeviceId::from_bytes([2; 16]);

fn content() -> UnlockContent {
    UnlockContent {
        account: ACCOUNT,
        genesis: LogHash::from_bytes([3; 32]),
        log_head: LogHash::from_bytes([4; 32]),
        root: AccountRoot::from_parts(6, Secret32::from_bytes([5; 32])),
    }
}

fn signer() -> SignKey {
    SignKey::from_seed(&[7; 32])
}

fn keys() -> UnlockKeys {
    UnlockKeys::from_password(&[8; 64], &ACCOUNT)
}

fn sealed(keys: &UnlockKeys) -> UnlockBox {
    let to = &keys.public().xwing_pk;
    UnlockBox::seal(&content(), keys.path_id(), to, (SIGNER, &signer()), &mut Seeded::new("unlock"))
        .expect("a derived public key")
}

/// The box after a change to its signed part, signed again by the same device.
fn resigned(mut bytes: Vec<u8>, change: impl FnOnce(&mut [u8])) -> UnlockBox {
    bytes.truncate(UNLOCK_BOX_LEN - 64);
    change(&mut bytes);
    let signature = signer().sign(Label::UnlockBox, &bytes);
    bytes.extend_from_slice(signature.as_bytes());
    UnlockBox::from_bytes(&bytes).expect("well-formed")
}

#[test]
fn password_recovery_and_device_paths_open_their_boxes() {
    let recovery = UnlockKeys::from_recovery(&RecoveryKey::from_bytes([9; 32]));
    for keys in [keys(), recovery] {
        let sealed = sealed(&keys);
        let read = UnlockBox::from_bytes(sealed.as_bytes()).expect("well-formed");
        assert_eq!((read.account(), read.path(), read.generation()), (ACCOUNT, keys.path_id(), 6));
        assert_eq!((read.signer(), read.hash()), (SIGNER, sealed.hash()));
        assert_eq!(read.open(keys.pair(), &signer().public()), Ok(content()));
    }
    let device = DeviceSecret::from_bytes([9; 32]).xwing_pair();
    let path = PathId::Device(DeviceId::from_bytes([9; 16]));
    let sealed =
        UnlockBox::seal(&content(), path, &device.public(), (SIGNER, &signer()), &mut Seeded::new("device"))
            .expect("a derived public key");
    assert_eq!(sealed.as_bytes().len(), UNLOCK_BOX_LEN);
    assert_eq!(sealed.open(&device, &signer().public()), Ok(content()));
}

#[test]
fn another_path_or_signer_is_refused() {
    let sealed = sealed(&keys());
    let other = UnlockKeys::from_password(&[9; 64], &ACCOUNT);
    assert_eq!(sealed.open(other.pair(), &signer().public()), Err(OpenError::Refused));
    let stranger = SignKey::from_seed(&[8; 32]).public();
    assert_eq!(sealed.open(keys().pair(), &stranger), Err(OpenError::Refused));
}

#[test]
fn any_flipped_bit_is_refused() {
    let keys = keys();
    let sealed = sealed(&keys);
    for flipped in bit_flips(sealed.as_bytes()).step_by(7) {
        let opened = UnlockBox::from_bytes(&flipped).and_then(|it| it.open(keys.pair(), &signer().public()));
        assert_eq!(opened, Err(OpenError::Refused));
    }
}

#[test]
fn any_other_length_is_refused() {
    let sealed = sealed(&keys());
    for len in (0..80).chain(UNLOCK_BOX_LEN - 80..UNLOCK_BOX_LEN) {
        assert!(UnlockBox::from_bytes(&sealed.as_bytes()[..len]).is_err(), "{len}");
    }
    assert!(UnlockBox::from_bytes(&[sealed.as_bytes(), &[0]].concat()).is_err());
}

#[test]
fn a_signer_cannot_relabel_a_box_it_did_not_seal() {
    let keys = keys();
    let bytes = sealed(&keys).as_bytes().to_vec();
    let open = |it: UnlockBox| it.open(keys.pair(), &signer().public());
    assert_eq!(open(resigned(bytes.clone(), |_| ())), Ok(content()));
    for offset in [8, 9, 24, 26, 41, 42, HEADER_LEN - 1, HEADER_LEN, HEADER_LEN + 1_100, UNLOCK_BOX_LEN - 65]
    {
        let relabelled = resigned(bytes.clone(), |bytes| bytes[offset] ^= 1);
        assert_eq!(open(relabelled), Err(OpenError::Refused), "{offset}");
    }
}

#[test]
fn a_malformed_public_key_is_not_sealed_to() {
    let bad = XWingPublic::from_bytes(&[0xff; 1216]);
    let sealed =
        UnlockBox::seal(&content(), keys().path_id(), &bad, (SIGNER, &signer()), &mut Seeded::new("bad"));
    assert_eq!(sealed.map(|_| ()), Err(BadPublicKey));
}
