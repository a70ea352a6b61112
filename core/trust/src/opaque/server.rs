//! The server's half. It never sees the password, the export key or anything that opens content.

use super::suite::{CONTEXT, Rng, Suite, map_error, sized};
use super::{KE1_BYTES, KE3_BYTES, OpaqueError, Parties, RECORD_BYTES, REQUEST_BYTES, SETUP_BYTES};
use freehold_model::Entropy;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
    ServerLoginParameters, ServerRegistration,
};
use std::fmt;
use zeroize::Zeroizing;

/// The server's long-term OPAQUE keys. Losing them makes every registration worthless.
pub struct ServerSetup {
    setup: opaque_ke::ServerSetup<Suite>,
}

/// The server's side of a login after its first answer.
pub struct LoginStart {
    /// To keep until the third message. Secret.
    pub state: Zeroizing<Vec<u8>>,
    /// The second message, for the client: 320 bytes.
    pub ke2: Vec<u8>,
}

impl ServerSetup {
    /// Fresh keys.
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { setup: opaque_ke::ServerSetup::new(&mut Rng(entropy)) }
    }

    /// Keys as kept in the data directory.
    ///
    /// # Errors
    /// `BadMessage` when these are not 128 bytes of valid keys.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        let bytes = sized(bytes, SETUP_BYTES)?;
        let setup = opaque_ke::ServerSetup::deserialize(bytes);
        setup.map(|setup| Self { setup }).map_err(|_| OpaqueError::BadMessage)
    }

    /// The keys as bytes. Secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.setup.serialize().to_vec())
    }

    /// Answers a registration request: 64 bytes.
    ///
    /// # Errors
    /// `BadMessage` when the request is none.
    pub fn registration_response(&self, request: &[u8], user: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let fail = |error| map_error(&error);
        let request = sized(request, REQUEST_BYTES)?;
        let request = RegistrationRequest::<Suite>::deserialize(request).map_err(fail)?;
        let answer = ServerRegistration::<Suite>::start(&self.setup, request, user);
        Ok(answer.map_err(fail)?.message.serialize().to_vec())
    }

    /// Checks a registration upload and gives the record to keep.
    ///
    /// # Errors
    /// `BadMessage` when the upload is none.
    pub fn registration_record(upload: &[u8]) -> Result<[u8; RECORD_BYTES], OpaqueError> {
        let upload = sized(upload, RECORD_BYTES)?;
        let parsed = RegistrationUpload::<Suite>::deserialize(upload);
        let record = ServerRegistration::<Suite>::finish(parsed.map_err(|error| map_error(&error))?);
        let bytes = record.serialize();
        bytes.as_slice().try_into().map_err(|_| OpaqueError::BadMessage)
    }

    /// Answers a first login message. Without a record (an unknown user) the answer has the same
    /// form and the login fails at the client, as with a wrong password.
    ///
    /// # Errors
    /// `BadMessage` when the message or the record is none.
    pub fn login_start(
        &self,
        record: Option<&[u8]>,
        ke1: &[u8],
        parties: &Parties<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<LoginStart, OpaqueError> {
        parties.check()?;
        let fail = |error| map_error(&error);
        let record = record
            .map(|bytes| ServerRegistration::deserialize(sized(bytes, RECORD_BYTES)?).map_err(fail))
            .transpose()?;
        let request = CredentialRequest::deserialize(sized(ke1, KE1_BYTES)?).map_err(fail)?;
        let params = ServerLoginParameters { context: Some(CONTEXT), identifiers: parties.identifiers() };
        let rng = &mut Rng(entropy);
        let started = ServerLogin::<Suite>::start(rng, &self.setup, record, request, parties.user, params)
            .map_err(fail)?;
        Ok(LoginStart {
            state: Zeroizing::new(started.state.serialize().to_vec()),
            ke2: started.message.serialize().to_vec(),
        })
    }
}

/// Checks the third login message against the kept state and gives the session key.
///
/// # Errors
/// `WrongLogin` when the client does not hold the password, `BadMessage` when the message is none.
pub fn login_finish(
    state: &[u8],
    ke3: &[u8],
    parties: &Parties<'_>,
) -> Result<Zeroizing<[u8; 64]>, OpaqueError> {
    parties.check()?;
    let fail = |error| map_error(&error);
    let state = ServerLogin::<Suite>::deserialize(sized(state, STATE_BYTES)?).map_err(fail)?;
    let message = CredentialFinalization::deserialize(sized(ke3, KE3_BYTES)?).map_err(fail)?;
    let params = ServerLoginParameters { context: Some(CONTEXT), identifiers: parties.identifiers() };
    let finished = state.finish(message, params).map_err(fail)?;
    Ok(Zeroizing::new(finished.session_key.into()))
}

/// Bytes of the kept state: the MAC expected from the client and the session key, SHA-512 each.
const STATE_BYTES: usize = 128;

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSetup(..)")
    }
}

impl fmt::Debug for LoginStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginStart(..)")
    }
}
