//! Coordination server: accounts, devices, sealed metadata, placement.

fn main() {}
