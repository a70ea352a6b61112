//! Signed statements and the OPAQUE suite; no content cipher.
