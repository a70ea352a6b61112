//! What one byte put into a file sends over the wire: the real programs, a server, a node and one device.
//!
//! They run in a network of their own, so that the loopback's counter counts them and nobody else. It counts
//! everything in both directions, headers of IP, UDP and TCP included, from the edit until the device says that all of
//! it is safe on the node.

use super::contender::Contender;
use super::freehold::Freehold;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The counters of this process's network (proc_net(5)).
const COUNTERS: &str = "/proc/self/net/dev";

/// Where in a line behind its name the bytes sent are.
const SENT: usize = 8;

/// The running system, in a network that nobody else is in.
pub(super) struct Wire(Freehold);

impl Wire {
    /// Moves this process into a new network and starts everything there.
    ///
    /// # Errors
    /// Without the right to make a network (root has it), and what starting says.
    pub(super) fn start(programs: &Path, dir: &Path) -> Result<Self> {
        #[expect(unsafe_code, reason = "std has no call that makes a network")]
        // SAFETY: the call reads nothing but its argument.
        let made = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        let refused = std::io::Error::last_os_error();
        ensure!(made == 0, "could not make a network to count bytes in, which takes root: {refused}");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("could not run ip")?;
        ensure!(up.success(), "could not start the loopback of a new network ({up})");
        Ok(Self(Freehold::start(programs, dir, &["a"])?))
    }

    /// Bytes sent for a byte put in at the front, in the middle and at the end of a random file, one after the other.
    pub(super) fn insertions(&self, seed: u64, len_bytes: usize) -> Result<[f64; 3]> {
        let path = self.0.mount().join(format!("file {seed} of {len_bytes}"));
        let mut content = noise(seed, len_bytes);
        fs::write(&path, &content)?;
        self.0.settle()?;
        let mut sent = [0.0; 3];
        for (index, sent) in sent.iter_mut().enumerate() {
            let before = counted()?;
            content.insert(content.len() * index / 2, 0x5a);
            // As most programs save: all of it is written anew.
            fs::write(&path, &content)?;
            self.0.settle()?;
            *sent = (counted()? - before) as f64;
        }
        fs::remove_file(&path)?;
        self.0.settle()?;
        Ok(sent)
    }
}

/// Bytes that the loopback has sent; what is sent arrives.
fn counted() -> Result<u64> {
    let text = fs::read_to_string(COUNTERS).context("could not read the network's counters")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let sent =
        line.and_then(|line| line.split_whitespace().nth(SENT)).context("the loopback is not counted")?;
    sent.parse().context("the loopback's counter is no number")
}

/// Bytes that do not compress, the same for a seed (SplitMix64; Steele, Lea and Flood, 2014).
fn noise(seed: u64, len_bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len_bytes + 8);
    while bytes.len() < len_bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_be_bytes());
    }
    bytes.truncate(len_bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::noise;

    #[test]
    fn noise_is_the_same_for_a_seed_and_another_for_another() {
        assert_eq!(noise(1, 1_001).len(), 1_001);
        assert_eq!(noise(1, 1_001), noise(1, 1_001));
        assert_ne!(noise(1, 1_001), noise(2, 1_001));
    }
}
