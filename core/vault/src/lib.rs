//! The plaintext tree: records, manifests, merge, names.
