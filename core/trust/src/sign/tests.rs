//! Signature claims.
