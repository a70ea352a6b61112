//! A name comes back to the words it was sealed to, and to nobody else.

use super::{open_user, seal_user};
use crate::error::OpenError;
use crate::limits::{USER_BOX_LEN, USER_NAME_BYTES_MAX};
use crate::recovery::RecoveryKey;
use crate::testing::{Seeded, bit_flips};
use crate::unlock::UnlockKeys;
use freehold_model::AccountId;

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

fn keys(n: u8) -> UnlockKeys {
    UnlockKeys::from_recovery(&RecoveryKey::from_bytes([n; 32]))
}

#[test]
fn names_of_every_length_come_back_and_take_the_same_room() {
    for len in 1..=USER_NAME_BYTES_MAX {
        let name = "n".repeat(len);
        let sealed = seal_user(&keys(1), &ACCOUNT, &name, &mut Seeded::new("user")).expect("a fit name");
        assert_eq!(sealed.len(), USER_BOX_LEN);
        assert_eq!(open_user(&keys(1), &ACCOUNT, &sealed), Ok(name));
    }
    let too_long = "n".repeat(USER_NAME_BYTES_MAX + 1);
    for name in ["", &too_long] {
        assert_eq!(seal_user(&keys(1), &ACCOUNT, name, &mut Seeded::new("user")), None);
    }
}

#[test]
fn other_words_another_account_and_any_flipped_bit_are_refused() {
    let sealed = seal_user(&keys(1), &ACCOUNT, "eva", &mut Seeded::new("user")).expect("a fit name");
    let other = AccountId::from_bytes([2; 16]);
    assert_eq!(open_user(&keys(2), &ACCOUNT, &sealed), Err(OpenError::Refused));
    assert_eq!(open_user(&keys(1), &other, &sealed), Err(OpenError::Refused));
    for flipped in bit_flips(&sealed) {
        assert_eq!(open_user(&keys(1), &ACCOUNT, &flipped), Err(OpenError::Refused));
    }
    assert_eq!(open_user(&keys(1), &ACCOUNT, &sealed[1..]), Err(OpenError::Refused));
}
