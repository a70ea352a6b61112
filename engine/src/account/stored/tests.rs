//! What is kept between starts comes back, and nothing else does.

use super::*;
use crate::account::new_account::{Choice, new_account};
use freehold_model::AccountId;
use freehold_trust::{DeviceName, KdfParams, SignKey};

struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

fn account(secret: &DeviceSecret, entropy: &mut dyn Entropy) -> StoredAccount {
    let id = AccountId::from_bytes([3; 16]);
    let device_name = DeviceName::new("laptop").expect("a good name");
    let choice = Choice {
        account: id,
        user: "eva",
        export_key: &[9; 64],
        kdf: KdfParams::FLOOR,
        device_name,
        now_s: 1_000,
    };
    let made = new_account(choice, secret, entropy).expect("a new account");
    StoredAccount {
        identity: Identity {
            user: "eva".into(),
            server: "http://127.0.0.1:1".into(),
            account: id,
            device: made.device,
            device_name: "laptop".into(),
        },
        server_key: SignKey::from_seed(&[5; 32]).public(),
        pin: made.state.pin(),
        root: made.root,
        log: vec![made.genesis],
        account_keys: Vec::new(),
        vault: made.vault.vault_id,
        vault_keys: made.vault.boxes.into_iter().map(|entry| entry.sealed.0).collect(),
        intents: Vec::new(),
    }
}

#[test]
fn an_account_comes_back_with_its_log_and_vault_keys() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut entropy = Counting(1);
    let secret = DeviceSecret::generate(&mut entropy);
    assert!(StoredAccount::load(dir.path(), &secret).expect("no file is fine").is_none());
    let stored = account(&secret, &mut entropy);
    stored.save(dir.path(), &secret.local_key(), &mut entropy).expect("saved");
    let back = StoredAccount::load(dir.path(), &secret).expect("opens").expect("is there");
    assert_eq!(back.identity, stored.identity);
    assert_eq!(back.pin, stored.pin);
    assert_eq!(back.root, stored.root);
    assert_eq!(back.state().expect("a valid log").pin(), stored.pin);
    assert_eq!(back.vault_keyring().expect("the vault's keys").vault(), stored.vault);
}

#[test]
fn another_devices_file_and_a_flipped_byte_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut entropy = Counting(2);
    let secret = DeviceSecret::generate(&mut entropy);
    account(&secret, &mut entropy).save(dir.path(), &secret.local_key(), &mut entropy).expect("saved");
    let other = DeviceSecret::generate(&mut entropy);
    assert!(matches!(StoredAccount::load(dir.path(), &other), Err(EngineError::WrongDeviceKey)));
    let mut bytes = fs::read(path(dir.path())).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path(dir.path()), bytes).expect("writable");
    assert!(matches!(StoredAccount::load(dir.path(), &secret), Err(EngineError::WrongDeviceKey)));
}
