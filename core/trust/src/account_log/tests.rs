//! Account log claims.
