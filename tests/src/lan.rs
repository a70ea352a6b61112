//! A local network of two machines: two network namespaces and the wire between them.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// The network. Taken down when dropped.
#[derive(Debug)]
pub struct Lan {
    names: [String; 2],
}

impl Lan {
    /// Two machines that reach each other and nothing else.
    ///
    /// # Errors
    /// When the kernel refuses: namespaces need root.
    pub fn new() -> Result<Self> {
        let id = std::process::id();
        let lan = Self { names: [format!("fh{id}a"), format!("fh{id}b")] };
        for name in &lan.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let [a, b] = [&lan.names[0], &lan.names[1]];
        ip(&["-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b])?;
        for (name, address) in [(a, "10.77.0.1/24"), (b, "10.77.0.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "eth0"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
        }
        Ok(lan)
    }

    /// The namespaces' names.
    #[must_use]
    pub fn names(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in &self.names {
            // Whatever is left of it ends with it.
            drop(ip(&["netns", "delete", name]));
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output =
        Command::new("ip").args(arguments).output().context("the package iproute2 is not installed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
