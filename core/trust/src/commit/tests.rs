//! Commit claims.
