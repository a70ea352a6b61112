//! A change shuts out whom it should, and lets in everybody else: by password, recovery key and device.

use super::*;
use crate::account::new_account::{Choice, NewAccount, certificate, new_account};
use crate::account::open::{open_account, open_root};
use freehold_api::AccountBoxes;
use freehold_crypto::{DeviceSecret, RecoveryKey, VaultKeyring, open_user, seal_user};
use freehold_model::AccountId;
use freehold_trust::account_log::{Cut, RevokeDevice};

const ACCOUNT: AccountId = AccountId::from_bytes([3; 16]);
const PASSWORD: [u8; 64] = [9; 64];

struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// What a server keeps of an account, and the secrets of its owner.
struct World {
    log: Vec<LogEntry>,
    boxes: AccountBoxes,
    vault: VaultBoxes,
    laptop: (DeviceId, DeviceSecret),
    words: RecoveryKey,
    entropy: Counting,
}

impl World {
    fn new() -> Self {
        let mut entropy = Counting(1);
        let secret = DeviceSecret::generate(&mut entropy);
        let device_name = DeviceName::new("laptop").expect("a good name");
        let choice = Choice {
            account: ACCOUNT,
            user: "eva",
            export_key: &PASSWORD,
            kdf: KdfParams::FLOOR,
            device_name,
            now_s: 1,
        };
        let NewAccount { genesis, boxes, vault, recovery, user_box, device, .. } =
            new_account(choice, &secret, &mut entropy).expect("a new account");
        Self {
            log: vec![genesis],
            boxes: AccountBoxes { boxes, account_keys: Vec::new(), user_box: Some(Blob(user_box)) },
            vault,
            laptop: (device, secret),
            words: recovery,
            entropy,
        }
    }

    fn state(&self) -> AccountState {
        AccountState::replay(&self.log).expect("valid at every step")
    }

    fn password(&self) -> UnlockKeys {
        UnlockKeys::from_password(&PASSWORD, &ACCOUNT)
    }

    /// Takes a change in, as the server does.
    fn store(&mut self, made: Made) {
        self.log.extend(made.entries);
        assert_eq!(self.state(), made.state);
        self.boxes.boxes.extend(made.message.boxes);
        self.boxes.account_keys.extend(made.message.account_keys);
        self.vault.boxes.extend(made.message.vault_keys.into_iter().flat_map(|keys| keys.boxes));
        if let Some(user_box) = made.message.user_box {
            self.boxes.user_box = Some(user_box);
        }
    }

    fn open(&self, keys: UnlockKeys) -> Result<VaultKeyring, EngineError> {
        let opened = open_account(ACCOUNT, keys, &self.log, &self.boxes)?;
        self.vault_of(&opened.roots)
    }

    fn open_as(&self, device: DeviceId, secret: &DeviceSecret) -> Result<VaultKeyring, EngineError> {
        let state = self.state();
        let root = open_root(&state, PathId::Device(device), &secret.xwing_pair(), &self.boxes.boxes)?;
        let previous = self.boxes.account_keys.iter().map(|entry| entry.sealed.as_slice());
        self.vault_of(&AccountKeyring::unfold(ACCOUNT, root, previous).expect("a chain"))
    }

    fn vault_of(&self, roots: &AccountKeyring) -> Result<VaultKeyring, EngineError> {
        let boxes = self.vault.boxes.iter().map(|entry| entry.sealed.as_slice());
        roots.open_vault(self.vault.vault_id, boxes).map_err(EngineError::keyring)
    }

    /// A change by the laptop.
    fn change(&mut self, build: impl FnOnce(&mut Change<'_>, &AccountKeyring, &VaultBoxes, &mut Counting)) {
        let sign_key = self.laptop.1.sign_key();
        let opened = open_account(ACCOUNT, self.password(), &self.log, &self.boxes);
        let roots = opened.expect("the password opens").roots;
        let mut change = Change::new(self.state(), self.laptop.0, &sign_key, 2);
        build(&mut change, &roots, &self.vault, &mut self.entropy);
        let made = change.finish();
        self.store(made);
    }

    /// Adds a phone by password.
    fn add_phone(&mut self) -> (DeviceId, DeviceSecret) {
        let secret = DeviceSecret::generate(&mut self.entropy);
        let (device, sign_key) = (DeviceId::from_bytes([7; 16]), secret.sign_key());
        let opened = open_account(ACCOUNT, self.password(), &self.log, &self.boxes).expect("opens");
        let name = DeviceName::new("phone").expect("a good name");
        let mut change = Change::new(self.state(), device, &sign_key, 2);
        let cert = certificate(ACCOUNT, device, &secret, name, 2);
        change.add_device(cert, opened.second()).expect("a new device");
        change.seal_to_self(opened.roots.newest(), &mut self.entropy).expect("its own box");
        let made = change.finish();
        assert_eq!(made.message.boxes.len(), 1);
        self.store(made);
        (device, secret)
    }

    fn revoke(&mut self, device: DeviceId) {
        let cut = Cut { vault: self.vault.vault_id, incarnation: 0, seq: 4 };
        let revoke = RevokeDevice::new(ACCOUNT, device, self.laptop.0, 2, vec![cut]).expect("canonical");
        let (words, sign_key) = (UnlockKeys::from_recovery(&self.words), self.laptop.1.sign_key());
        let intent = RevokeIntent::sign(revoke, &sign_key, SecondKey::Recovery, words.sign_key());
        self.change(|change, roots, vault, entropy| {
            change.revoke(&intent).expect("a live device");
            change.rotate(roots, std::slice::from_ref(vault), entropy).expect("the newest root");
        });
    }
}

#[test]
fn a_revoked_device_opens_nothing_new_and_every_live_path_does() {
    let mut world = World::new();
    let (phone, secret) = world.add_phone();
    let before = world.open_as(phone, &secret).expect("a live device");
    world.revoke(phone);
    assert!(world.open_as(phone, &secret).is_err(), "no box of the new generation is for it");
    assert_eq!(before.current_generation(), 1);
    let laptop = world.open_as(world.laptop.0, &world.laptop.1).expect("the revoking device");
    let password = world.open(world.password()).expect("the password");
    let words = world.open(UnlockKeys::from_recovery(&world.words)).expect("the words");
    for keyring in [laptop, password, words] {
        assert_eq!(keyring.current_generation(), 2);
    }
}

#[test]
fn a_box_other_than_the_one_the_rotation_named_is_refused() {
    let mut world = World::new();
    let (phone, _) = world.add_phone();
    world.revoke(phone);
    let (device, secret) = (world.laptop.0, DeviceSecret::from_bytes(*world.laptop.1.expose()));
    let state = world.state();
    let path = PathId::Device(device);
    let root = open_root(&state, path, &secret.xwing_pair(), &world.boxes.boxes).expect("opens");
    // The same root, sealed again by the same device: right in every way, but not what the log names.
    let again = seal_root(&state, &root, (device, &secret.sign_key()), &mut world.entropy).expect("sealed");
    let again: Vec<_> = again.iter().map(box_entry).collect();
    let refused = open_root(&state, path, &secret.xwing_pair(), &again);
    assert!(matches!(refused, Err(EngineError::ServerUntrusted(text)) if text.contains("rotation")));
}

#[test]
fn new_secrets_open_the_account_and_the_old_ones_do_not() {
    let mut world = World::new();
    let (old_password, old_words) = (world.password(), RecoveryKey::from_bytes(*world.words.expose()));
    let new_password = UnlockKeys::from_password(&[8; 64], &ACCOUNT);
    let new_words = RecoveryKey::from_bytes([5; 32]);
    let words = UnlockKeys::from_recovery(&new_words);
    let user_box = seal_user(&words, &ACCOUNT, "eva", &mut world.entropy).expect("a fit name");
    let login = NewLogin { user: "eva".to_owned(), upload: Blob(vec![1; 192]) };
    let second = UnlockKeys::from_recovery(&old_words);
    world.change(|change, roots, vault, entropy| {
        let second = (SecondKey::Recovery, second.sign_key());
        change.set_password(&new_password, KdfParams::FLOOR, login, second).expect("in force");
        change.set_recovery(&words, user_box, second).expect("in force");
        change.rotate(roots, std::slice::from_ref(vault), entropy).expect("the newest root");
    });
    assert!(world.open(old_password).is_err());
    assert!(world.open(UnlockKeys::from_recovery(&old_words)).is_err());
    assert_eq!(world.open(new_password).expect("the new password").current_generation(), 2);
    let words = UnlockKeys::from_recovery(&new_words);
    let sealed = world.boxes.user_box.clone().expect("the user name");
    assert_eq!(open_user(&words, &ACCOUNT, sealed.as_slice()).as_deref(), Ok("eva"));
    assert_eq!(world.open(words).expect("the new words").current_generation(), 2);
}

#[test]
fn a_change_that_breaks_a_rule_never_leaves() {
    let world = World::new();
    let sign_key = world.laptop.1.sign_key();
    let stranger = UnlockKeys::from_password(&[7; 64], &ACCOUNT);
    let mut change = Change::new(world.state(), world.laptop.0, &sign_key, 2);
    let words = UnlockKeys::from_recovery(&RecoveryKey::from_bytes([5; 32]));
    let refused = change.set_recovery(&words, vec![1], (SecondKey::Password, stranger.sign_key()));
    assert!(matches!(refused, Err(EngineError::Internal(_))));
    let missing = change.name_device(DeviceId::from_bytes([1; 16]), DeviceName::new("x").expect("a name"));
    assert!(matches!(missing, Err(EngineError::Internal(_))));
    assert_eq!(change.finish().message.entries, []);
}
