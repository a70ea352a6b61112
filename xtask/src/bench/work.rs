//! What is measured: from closing files on one side to reading their bytes on the other.
//!
//! All contents are random, so nobody gains by compression or by knowing a block already. The reader looks every
//! millisecond and compares every byte.

use super::contender::Contender;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the reader looks.
const LOOK: Duration = Duration::from_millis(1);

/// How long a measurement may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Files of the latency measurement, out of what the contender would do.
    pub(super) latency_divisor: usize,
    /// Bytes of the large file.
    pub(super) large_bytes: usize,
    /// Number of small files.
    pub(super) small_files: usize,
}

impl Scale {
    /// What the targets speak of.
    pub(super) const FULL: Self = Self { latency_divisor: 1, large_bytes: 1 << 30, small_files: 10_000 };

    /// About a tenth.
    pub(super) const QUICK: Self = Self { latency_divisor: 5, large_bytes: 128 << 20, small_files: 1_000 };
}

/// What one contender needed. Times in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) latency_p50: f64,
    pub(super) latency_p95: f64,
    pub(super) large: f64,
    pub(super) large_cpu: f64,
    /// From the last close.
    pub(super) small: f64,
    /// From the first create.
    pub(super) small_whole: f64,
    pub(super) small_cpu: f64,
    pub(super) peak_rss_mib: f64,
}

/// Runs all measurements on one contender.
pub(super) fn measure(contender: &dyn Contender, scale: Scale, say: &dyn Fn(&str)) -> Result<Measured> {
    let mut measured = Measured::default();
    let files = (contender.latency_files() / scale.latency_divisor).max(3);
    say(&format!("{}: {files} files of 1 KiB, one after the other", contender.name()));
    (measured.latency_p50, measured.latency_p95) = latency(contender, files)?;
    contender.settle()?;

    say(&format!("{}: one file of {} MiB", contender.name(), scale.large_bytes >> 20));
    let before = contender.usage();
    measured.large = large(contender, scale.large_bytes)?;
    contender.settle()?;
    let between = contender.usage();
    measured.large_cpu = between.cpu_seconds - before.cpu_seconds;

    say(&format!("{}: {} files of 4 KiB", contender.name(), scale.small_files));
    (measured.small, measured.small_whole) = small(contender, scale.small_files)?;
    contender.settle()?;
    let after = contender.usage();
    measured.small_cpu = after.cpu_seconds - between.cpu_seconds;
    measured.peak_rss_mib = after.peak_rss_mib;
    Ok(measured)
}

/// Median and 95th percentile of close to read.
fn latency(contender: &dyn Contender, files: usize) -> Result<(f64, f64)> {
    let [from, to] = contender.folders();
    let mut random = Random::open()?;
    let mut times = Vec::new();
    for number in 0..files {
        let (name, content) = (format!("latency {number}"), random.bytes(1024)?);
        fs::write(from.join(&name), &content)?;
        let closed = Instant::now();
        wait_for(&to.join(&name), &content)?;
        times.push(closed.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok((at(50), at(95)))
}

fn large(contender: &dyn Contender, len_bytes: usize) -> Result<f64> {
    let [from, to] = contender.folders();
    let content = Random::open()?.bytes(len_bytes)?;
    let mut file = File::create(from.join("large"))?;
    for block in content.chunks(1 << 20) {
        file.write_all(block)?;
    }
    drop(file);
    let closed = Instant::now();
    wait_for(&to.join("large"), &content)?;
    Ok(closed.elapsed().as_secs_f64())
}

/// Time from the last close, and from the first create.
fn small(contender: &dyn Contender, files: usize) -> Result<(f64, f64)> {
    const PER_FOLDER: usize = 100;
    let [from, to] = contender.folders();
    let contents = Random::open()?.bytes(files * 4096)?;
    let name = |number: usize| format!("small/{}/{number}", number / PER_FOLDER);
    let begin = Instant::now();
    for (number, content) in contents.chunks(4096).enumerate() {
        if number % PER_FOLDER == 0 {
            fs::create_dir_all(from.join(format!("small/{}", number / PER_FOLDER)))?;
        }
        fs::write(from.join(name(number)), content)?;
    }
    let closed = Instant::now();
    for (number, content) in contents.chunks(4096).enumerate() {
        wait_for(&to.join(name(number)), content)?;
    }
    Ok((closed.elapsed().as_secs_f64(), begin.elapsed().as_secs_f64()))
}

/// Waits until a file has this content. A file of another length is not read: its bytes are on their way.
fn wait_for(path: &Path, content: &[u8]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds(path, content) {
        ensure!(Instant::now() < deadline, "a file has not arrived after {} s", PATIENCE.as_secs());
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Whether a file holds exactly these bytes. Any error means not yet.
fn holds(path: &Path, content: &[u8]) -> bool {
    let compare = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != content.len() as u64 {
            return Ok(false);
        }
        let mut buffer = vec![0; content.len().min(1 << 20)];
        for expected in content.chunks(1 << 20) {
            let found = &mut buffer[..expected.len()];
            file.read_exact(found)?;
            if found != expected {
                return Ok(false);
            }
        }
        Ok(true)
    };
    compare().unwrap_or(false)
}

/// The operating system's generator: every run sends other bytes.
struct Random(File);

impl Random {
    fn open() -> Result<Self> {
        Ok(Self(File::open("/dev/urandom").context("no random bytes")?))
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).context("no random bytes")?;
        Ok(bytes)
    }
}
