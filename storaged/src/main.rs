//! Storage node: keeps ciphertext chunks it cannot read.

fn main() {}
