//! A whole registration and login, and what must fail.

use super::*;
use crate::kdf_params::KdfParams;
use crate::sign::SignKey;
use crate::testing::Seeded;

struct Account {
    setup: ServerSetup,
    server: PublicKey,
    record: [u8; RECORD_BYTES],
    export_key: [u8; 64],
}

#[test]
fn every_login_gives_the_registered_export_key_and_one_session_key() {
    let account = register();
    let (client, server) = login(&account, b"ana", b"correct horse", true).expect("logs in");
    assert_eq!(*client.export_key, account.export_key);
    assert_eq!(*client.session_key, server.expect("server agrees"));
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let account = register();
    let wrong = login(&account, b"ana", b"incorrect horse", true);
    assert_eq!(wrong.expect_err("wrong password"), OpaqueError::WrongLogin);
    let unknown = login(&account, b"bob", b"correct horse", false);
    assert_eq!(unknown.expect_err("unknown user"), OpaqueError::WrongLogin);
}

#[test]
fn a_server_with_another_signing_key_is_refused() {
    let mut account = register();
    let server = account.server;
    let other = SignKey::from_seed(&[9; 32]).public();
    let (client, ke1) = Login::start(b"correct horse", &mut Seeded::new(5)).expect("starts");
    let parties = Parties { user: b"ana", server: &other };
    let started = account.setup.login_start(Some(&account.record), &ke1, &parties, &mut Seeded::new(6));
    let ke2 = started.expect("answers").ke2;
    let pinned = Parties { user: b"ana", server: &server };
    let refused = client.finish(&ke2, &pinned, &KdfParams::FLOOR, &mut Seeded::new(7));
    assert_eq!(refused.err(), Some(OpaqueError::WrongLogin));
    account.server = other;
    let (client, ke1) = Login::start(b"correct horse", &mut Seeded::new(5)).expect("starts");
    let started = account.setup.login_start(Some(&account.record), &ke1, &parties, &mut Seeded::new(6));
    let both =
        client.finish(&started.expect("answers").ke2, &parties, &KdfParams::FLOOR, &mut Seeded::new(7));
    assert_eq!(both.err(), Some(OpaqueError::WrongLogin), "the record binds the key it was made with");
}

#[test]
fn other_stretching_than_registered_is_a_wrong_login() {
    let account = register();
    let parties = Parties { user: b"ana", server: &account.server };
    let (client, ke1) = Login::start(b"correct horse", &mut Seeded::new(5)).expect("starts");
    let started = account.setup.login_start(Some(&account.record), &ke1, &parties, &mut Seeded::new(6));
    let other = KdfParams::new(64 * 1024, 3, 2).expect("within bounds");
    let refused = client.finish(&started.expect("answers").ke2, &parties, &other, &mut Seeded::new(7));
    assert_eq!(refused.err(), Some(OpaqueError::WrongLogin));
}

#[test]
fn messages_of_another_length_or_form_are_refused() {
    let account = register();
    let parties = Parties { user: b"ana", server: &account.server };
    for len in [0, 31, 33, 64, 95, 97, 320, 1_000] {
        let junk = vec![0xa5; len];
        assert_eq!(account.setup.registration_response(&junk, b"ana").err(), Some(OpaqueError::BadMessage));
        assert_eq!(ServerSetup::registration_record(&junk).err(), Some(OpaqueError::BadMessage));
        let started = account.setup.login_start(None, &junk, &parties, &mut Seeded::new(1));
        assert_eq!(started.err(), Some(OpaqueError::BadMessage));
        assert_eq!(login_finish(&junk, &junk, &parties).err(), Some(OpaqueError::BadMessage));
        assert!(ServerSetup::from_bytes(&junk).is_err());
    }
    let (client, _) = Registration::start(b"pw", &mut Seeded::new(1)).expect("starts");
    let refused = client.finish(&[0xff; 64], &parties, &KdfParams::FLOOR, &mut Seeded::new(2));
    assert_eq!(refused.err(), Some(OpaqueError::BadMessage));
}

#[test]
fn a_flipped_bit_in_the_third_message_is_refused() {
    let account = register();
    let parties = Parties { user: b"ana", server: &account.server };
    let (client, ke1) = Login::start(b"correct horse", &mut Seeded::new(5)).expect("starts");
    let started = account
        .setup
        .login_start(Some(&account.record), &ke1, &parties, &mut Seeded::new(6))
        .expect("answers");
    let finished =
        client.finish(&started.ke2, &parties, &KdfParams::FLOOR, &mut Seeded::new(7)).expect("logs in");
    for bit in 0..KE3_BYTES * 8 {
        let mut ke3 = finished.ke3.clone();
        ke3[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            login_finish(&started.state, &ke3, &parties).err(),
            Some(OpaqueError::WrongLogin),
            "bit {bit}"
        );
    }
}

#[test]
fn answers_for_known_and_unknown_users_have_one_length() {
    let account = register();
    let parties = Parties { user: b"ana", server: &account.server };
    let (_, ke1) = Login::start(b"pw", &mut Seeded::new(5)).expect("starts");
    let known = account
        .setup
        .login_start(Some(&account.record), &ke1, &parties, &mut Seeded::new(6))
        .expect("answers");
    let unknown = account.setup.login_start(None, &ke1, &parties, &mut Seeded::new(6)).expect("answers");
    assert_eq!((known.ke2.len(), unknown.ke2.len()), (KE2_BYTES, KE2_BYTES));
    assert_eq!(known.state.len(), unknown.state.len());
}

#[test]
fn empty_and_oversized_inputs_are_refused() {
    let refused = Login::start(b"", &mut Seeded::new(1)).err();
    assert_eq!(refused, Some(OpaqueError::BadInput));
    let long = vec![b'x'; limits::PASSWORD_BYTES_MAX + 1];
    assert_eq!(Registration::start(&long, &mut Seeded::new(1)).err(), Some(OpaqueError::BadInput));
}

fn register() -> Account {
    let setup = ServerSetup::generate(&mut Seeded::new(1));
    let setup = ServerSetup::from_bytes(&setup.to_bytes()).expect("its own bytes");
    let server = SignKey::from_seed(&[3; 32]).public();
    let (client, request) = Registration::start(b"correct horse", &mut Seeded::new(2)).expect("starts");
    let response = setup.registration_response(&request, b"ana").expect("answers");
    let parties = Parties { user: b"ana", server: &server };
    let done = client.finish(&response, &parties, &KdfParams::FLOOR, &mut Seeded::new(3)).expect("registers");
    let record = ServerSetup::registration_record(&done.upload).expect("a record");
    Account { setup, server, record, export_key: *done.export_key }
}

type Both = (LoginResult, Result<[u8; 64], OpaqueError>);

fn login(account: &Account, user: &[u8], password: &[u8], known: bool) -> Result<Both, OpaqueError> {
    let parties = Parties { user, server: &account.server };
    let (client, ke1) = Login::start(password, &mut Seeded::new(5))?;
    let record = known.then_some(&account.record[..]);
    let started = account.setup.login_start(record, &ke1, &parties, &mut Seeded::new(6))?;
    let client = client.finish(&started.ke2, &parties, &KdfParams::FLOOR, &mut Seeded::new(7))?;
    let server = login_finish(&started.state, &client.ke3, &parties).map(|key| *key);
    Ok((client, server))
}
