//! The peers of single parts, as commands: restic and rsync by what they send, restic and gocryptfs by their speed.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Guards a repository that is removed after the run.
const PASSWORD: &str = "only for the time of a benchmark";

/// A restic repository in a folder.
pub(super) struct Restic {
    repository: PathBuf,
    cache: PathBuf,
}

impl Restic {
    /// Makes one; `dir` must be there.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let restic = Self { repository: dir.join("repository"), cache: dir.join("cache") };
        restic.run(&["init"])?;
        Ok(restic)
    }

    /// Backs a folder up; the seconds that took.
    pub(super) fn back_up(&self, folder: &Path) -> Result<f64> {
        let begin = Instant::now();
        self.run(&["backup", folder.to_str().context("the folder's path is not UTF-8")?])?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Bytes of the repository: what was sent to it so far.
    pub(super) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for entry in walkdir::WalkDir::new(&self.repository) {
            let meta = entry?.metadata()?;
            bytes += if meta.is_file() { meta.len() } else { 0 };
        }
        Ok(bytes)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("restic");
        command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_CACHE_DIR", &self.cache).arg("--repo");
        output(command.arg(&self.repository).args(["--quiet", "--no-lock"]).args(arguments)).map(drop)
    }
}

/// Makes a copy equal by rsync's delta; the bytes that went both ways.
pub(super) fn rsync(from: &Path, to: &Path) -> Result<u64> {
    let mut command = Command::new("rsync");
    // Between two folders rsync copies whole files unless told otherwise.
    let text = output(command.args(["--no-whole-file", "--ignore-times", "--stats"]).arg(from).arg(to))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        let number: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        number.parse().with_context(|| format!("rsync says nothing after `{name}`"))
    };
    Ok(field("Total bytes sent:")? + field("Total bytes received:")?)
}

/// The rates of gocryptfs's ciphers, as (name, MB a second). It seals blocks of 4 KiB.
pub(super) fn gocryptfs_speed() -> Result<Vec<(String, f64)>> {
    let text = output(Command::new("gocryptfs").arg("-speed"))?;
    let rates: Vec<(String, f64)> = text.lines().filter_map(speed_line).collect();
    ensure!(!rates.is_empty(), "gocryptfs -speed prints no rates");
    Ok(rates)
}

/// One line of `gocryptfs -speed`: a name, a rate, the unit, sometimes a remark.
fn speed_line(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.trim().split_once(char::is_whitespace)?;
    let mut fields = rest.split_whitespace();
    let rate = fields.next()?.parse().ok()?;
    (fields.next()? == "MB/s").then(|| (name.to_owned(), rate))
}

/// A file of random bytes; another one every time.
pub(super) fn random_file(path: &Path, len_bytes: u64) -> Result<()> {
    let mut random = File::open("/dev/urandom").context("no random bytes")?.take(len_bytes);
    std::io::copy(&mut random, &mut File::create(path)?)?;
    Ok(())
}

/// Writes a file once more with a byte put in at an offset.
pub(super) fn insert_byte(from: &Path, to: &Path, at: usize) -> Result<()> {
    let bytes = fs::read(from)?;
    let (before, after) = bytes.split_at_checked(at).context("the file is shorter")?;
    let mut file = File::create(to)?;
    [before, &[0x5A], after].into_iter().try_for_each(|part| file.write_all(part))?;
    Ok(())
}

/// Runs a program to its end and returns what it printed.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("could not start {name}"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::speed_line;

    #[test]
    fn rates_of_gocryptfs_are_read_with_and_without_a_remark() {
        let line = "AES-GCM-256-OpenSSL           \t 1039.54 MB/s\t(selected in auto mode)";
        assert_eq!(speed_line(line), Some(("AES-GCM-256-OpenSSL".to_owned(), 1039.54)));
        assert_eq!(
            speed_line("XChaCha20-Poly1305-Go \t 900.5 MB/s"),
            Some(("XChaCha20-Poly1305-Go".into(), 900.5))
        );
        assert_eq!(speed_line("cpu: something; with AES acceleration"), None);
    }
}
