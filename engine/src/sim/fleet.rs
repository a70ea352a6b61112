//! An account with several devices, made from fixed secrets.

use freehold_crypto::{DeviceSecret, RecoveryKey, UnlockKeys};
use freehold_model::{AccountId, DeviceId};
use freehold_trust::account_log::{AccountState, Action, Genesis, LogEntry, LogStatement, SecondKey};
use freehold_trust::{DeviceCert, DeviceName, KdfParams, SignKey, SignedDeviceCert};

const ACCOUNT: AccountId = AccountId::from_bytes([0xac; 16]);

/// The account as its log says.
pub(super) struct Fleet {
    entries: Vec<LogEntry>,
    state: AccountState,
    password: UnlockKeys,
}

/// The id of a device by its number, as the rigs have it.
pub(super) const fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 16])
}

/// The secret of a device by its number.
pub(super) const fn secret(number: u8) -> DeviceSecret {
    DeviceSecret::from_bytes([number; 32])
}

impl Fleet {
    /// An account with devices 1 to `count`.
    pub(super) fn new(count: u8) -> Self {
        let password = UnlockKeys::from_password(&[7; 64], &ACCOUNT);
        let recovery = UnlockKeys::from_recovery(&RecoveryKey::from_bytes([8; 32]));
        let genesis = Genesis {
            password: password.public().clone(),
            recovery: recovery.public().clone(),
            device: certificate(1),
            kdf: KdfParams::DEFAULT,
        };
        let statement = LogStatement::genesis(ACCOUNT, 1, device(1), Box::new(genesis));
        let first = LogEntry::sign_genesis(
            statement,
            &secret(1).sign_key(),
            password.sign_key(),
            recovery.sign_key(),
        );
        let state = AccountState::replay(std::slice::from_ref(&first)).expect("a genesis by the rules");
        let mut fleet = Self { entries: vec![first], state, password };
        (2..=count).for_each(|number| fleet.add(number));
        fleet
    }

    fn add(&mut self, number: u8) {
        let action = Action::AddDevice(Box::new(certificate(number)));
        self.append(number, action);
    }

    /// Appends an entry of a device, with the password behind it.
    pub(super) fn append(&mut self, signer: u8, action: Action) {
        let statement = self.state.next_statement(device(signer), 1, action);
        let key = secret(signer).sign_key();
        let entry = LogEntry::sign_twice(statement, &key, SecondKey::Password, self.password.sign_key());
        self.state.append(&entry).expect("an entry by the rules");
        self.entries.push(entry);
    }

    /// Appends an entry that a device's signature suffices for.
    pub(super) fn append_once(&mut self, signer: u8, action: Action) {
        let statement = self.state.next_statement(device(signer), 1, action);
        let entry = LogEntry::sign(statement, &secret(signer).sign_key());
        self.state.append(&entry).expect("an entry by the rules");
        self.entries.push(entry);
    }

    /// The password's own key.
    pub(super) const fn password(&self) -> &SignKey {
        self.password.sign_key()
    }

    /// The log.
    pub(super) fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// The account after all entries.
    pub(super) const fn state(&self) -> &AccountState {
        &self.state
    }
}

/// What a device shows of itself.
pub(super) fn certificate(number: u8) -> SignedDeviceCert {
    let secret = secret(number);
    let sign_key = secret.sign_key();
    let cert = DeviceCert {
        account: ACCOUNT,
        device: device(number),
        sign_pk: sign_key.public(),
        tls_pk: SignKey::from_seed(secret.tls_seed().expose()).public(),
        xwing_pk: secret.xwing_pair().public(),
        created: 1,
        name: DeviceName::new(&format!("device {number}")).expect("a short name"),
    };
    SignedDeviceCert::sign(cert, &sign_key)
}
