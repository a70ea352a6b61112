//! The client's half: register once, then log in.

use super::suite::{CONTEXT, Rng, Stretch, Suite, map_error, sized};
use super::{KE2_BYTES, OpaqueError, Parties, RESPONSE_BYTES};
use crate::kdf_params::KdfParams;
use crate::limits;
use freehold_model::Entropy;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse,
};
use std::fmt;
use zeroize::Zeroizing;

/// A registration between its two messages. Keeps the password until it is finished or dropped.
pub struct Registration {
    state: ClientRegistration<Suite>,
    password: Zeroizing<Vec<u8>>,
}

/// What a registration yields.
pub struct RegistrationResult {
    /// For the server: 192 bytes.
    pub upload: Vec<u8>,
    /// For the client alone.
    pub export_key: Zeroizing<[u8; 64]>,
}

impl Registration {
    /// Blinds the password; the second value is the 32-byte request for the server.
    ///
    /// # Errors
    /// `BadInput` for an empty or oversized password.
    pub fn start(password: &[u8], entropy: &mut dyn Entropy) -> Result<(Self, Vec<u8>), OpaqueError> {
        check_password(password)?;
        let started = ClientRegistration::<Suite>::start(&mut Rng(entropy), password)
            .map_err(|error| map_error(&error))?;
        let password = Zeroizing::new(password.to_vec());
        Ok((Self { state: started.state, password }, started.message.serialize().to_vec()))
    }

    /// Stretches the password (about a third of a second at the default cost) and seals the record.
    ///
    /// # Errors
    /// `BadMessage` when the response is none, `Hashing` when memory runs out.
    pub fn finish(
        self,
        response: &[u8],
        parties: &Parties<'_>,
        kdf: &KdfParams,
        entropy: &mut dyn Entropy,
    ) -> Result<RegistrationResult, OpaqueError> {
        parties.check()?;
        let fail = |error| map_error(&error);
        let response = sized(response, RESPONSE_BYTES)?;
        let response = RegistrationResponse::<Suite>::deserialize(response).map_err(fail)?;
        let stretch = Stretch(*kdf);
        let params = ClientRegistrationFinishParameters::new(parties.identifiers(), Some(&stretch));
        let finished =
            self.state.finish(&mut Rng(entropy), &self.password, response, params).map_err(fail)?;
        Ok(RegistrationResult {
            upload: finished.message.serialize().to_vec(),
            export_key: Zeroizing::new(finished.export_key.into()),
        })
    }
}

/// A login between its messages. Keeps the password until it is finished or dropped.
pub struct Login {
    state: ClientLogin<Suite>,
    password: Zeroizing<Vec<u8>>,
}

/// What a login yields.
pub struct LoginResult {
    /// The third message, for the server: 64 bytes.
    pub ke3: Vec<u8>,
    /// Shared with the server for this login.
    pub session_key: Zeroizing<[u8; 64]>,
    /// For the client alone; the same at every login.
    pub export_key: Zeroizing<[u8; 64]>,
}

impl Login {
    /// Starts a login; the second value is the 96-byte first message.
    ///
    /// # Errors
    /// `BadInput` for an empty or oversized password.
    pub fn start(password: &[u8], entropy: &mut dyn Entropy) -> Result<(Self, Vec<u8>), OpaqueError> {
        check_password(password)?;
        let started =
            ClientLogin::<Suite>::start(&mut Rng(entropy), password).map_err(|error| map_error(&error))?;
        let password = Zeroizing::new(password.to_vec());
        Ok((Self { state: started.state, password }, started.message.serialize().to_vec()))
    }

    /// Stretches the password, checks the server and makes the third message.
    ///
    /// # Errors
    /// `WrongLogin` for a wrong password, an unknown user or another server, which look the same;
    /// `BadMessage` when the answer is none, `Hashing` when memory runs out.
    pub fn finish(
        self,
        ke2: &[u8],
        parties: &Parties<'_>,
        kdf: &KdfParams,
        entropy: &mut dyn Entropy,
    ) -> Result<LoginResult, OpaqueError> {
        parties.check()?;
        let fail = |error| map_error(&error);
        let answer = sized(ke2, KE2_BYTES)?;
        let answer = CredentialResponse::<Suite>::deserialize(answer).map_err(fail)?;
        let stretch = Stretch(*kdf);
        let params = ClientLoginFinishParameters::new(Some(CONTEXT), parties.identifiers(), Some(&stretch));
        let finished = self.state.finish(&mut Rng(entropy), &self.password, answer, params).map_err(fail)?;
        Ok(LoginResult {
            ke3: finished.message.serialize().to_vec(),
            session_key: Zeroizing::new(finished.session_key.into()),
            export_key: Zeroizing::new(finished.export_key.into()),
        })
    }
}

fn check_password(password: &[u8]) -> Result<(), OpaqueError> {
    let fits = (1..=limits::PASSWORD_BYTES_MAX).contains(&password.len());
    if fits { Ok(()) } else { Err(OpaqueError::BadInput) }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration(..)")
    }
}

impl fmt::Debug for RegistrationResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationResult(..)")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl fmt::Debug for LoginResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginResult(..)")
    }
}
