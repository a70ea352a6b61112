//! Key hierarchy and sealing: the only crate that names a content cipher.
