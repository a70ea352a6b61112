//! The daemon: wires engine, mount and network, serves the control API.

fn main() {}
