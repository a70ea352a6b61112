//! Build, tidy, architecture check and CI steps.

fn main() {}
