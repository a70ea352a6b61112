//! Paths derive apart: by secret, by account, by kind.

use super::UnlockKeys;
use crate::device::DeviceSecret;
use crate::recovery::RecoveryKey;
use freehold_model::AccountId;
use freehold_trust::account_log::PathId;
use std::collections::BTreeSet;

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

#[test]
fn the_same_secret_gives_the_same_path_again() {
    let (one, two) =
        (UnlockKeys::from_password(&[1; 64], &ACCOUNT), UnlockKeys::from_password(&[1; 64], &ACCOUNT));
    assert_eq!((one.path_id(), one.public(), one.pair()), (two.path_id(), two.public(), two.pair()));
    assert!(matches!(one.path_id(), PathId::Password(_)));
}

#[test]
fn another_secret_account_or_kind_gives_other_keys() {
    let mut export_key = [1; 64];
    export_key[63] ^= 1;
    let other = AccountId::from_bytes([2; 16]);
    let recovery = RecoveryKey::from_bytes([1; 32]);
    let all = [
        UnlockKeys::from_password(&[1; 64], &ACCOUNT),
        UnlockKeys::from_password(&export_key, &ACCOUNT),
        UnlockKeys::from_password(&[1; 64], &other),
        UnlockKeys::from_recovery(&recovery),
        UnlockKeys::from_recovery(&RecoveryKey::from_bytes([2; 32])),
    ];
    let ids: BTreeSet<PathId> = all.iter().map(UnlockKeys::path_id).collect();
    let pairs: BTreeSet<&[u8; 1216]> = all.iter().map(|keys| keys.public().xwing_pk.as_bytes()).collect();
    let signers: BTreeSet<_> = all.iter().map(|keys| keys.public().sign_pk).collect();
    assert_eq!((ids.len(), pairs.len(), signers.len()), (5, 5, 5));
    assert!(matches!(all[3].path_id(), PathId::Recovery(_)));
}

#[test]
fn a_device_secret_derives_four_unrelated_keys() {
    let secret = DeviceSecret::from_bytes([1; 32]);
    assert_eq!(secret.sign_key().public(), secret.sign_key().public());
    let tls = freehold_trust::SignKey::from_seed(secret.tls_seed().expose());
    assert_ne!(secret.sign_key().public(), tls.public());
    assert_ne!(secret.tls_seed().expose(), secret.expose());
    let other = DeviceSecret::from_bytes([2; 32]);
    assert_ne!(secret.xwing_pair().public(), other.xwing_pair().public());
    assert_ne!(secret.sign_key().public(), other.sign_key().public());
}
