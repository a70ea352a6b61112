//! Other people's programs on a mount, with a bound against hanging, and the mounts they run on.

use anyhow::{Context, Result, bail, ensure};
use freehold_tests::{Device, World, root};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What any of these programs may take: it hangs when it takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// How often is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// What a program printed, both ways mixed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
}

/// A program that `./x test` installs into `target/tools`.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let path = root().join("target/tools/bin").join(name);
    ensure!(path.exists(), "{} is missing; `./x test` installs it", path.display());
    Ok(path)
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, or runs longer than `patience`.
pub(crate) fn run_within(command: &mut Command, patience: Duration) -> Result<Ended> {
    let mut output = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    let status = wait_within(&mut child, patience).with_context(|| format!("{command:?}"))?;
    let mut text = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut text)?;
    Ok(Ended { status, text: String::from_utf8_lossy(&text).into_owned() })
}

/// Waits for the end of a program.
///
/// # Errors
/// When it does not end; it is killed then, but not waited for: it may hang in the kernel.
pub(crate) fn wait_within(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            bail!("it hangs: no end after {} s", patience.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs a program that must succeed; what it printed.
///
/// # Errors
/// With the end of what it printed when it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let ended = run_within(command, PATIENCE)?;
    ensure!(ended.status.success(), "{command:?}: {}, {}", ended.status, tail(&ended.text));
    Ok(ended.text)
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// How a vault is mounted for a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With the kernel's write cache, as `~/Vault` is. Nearly every file sleeps as soon as it is safe elsewhere,
    /// as in a vault with far more files than stay in memory.
    Default,
    /// Without, and with requests through `/dev/fuse` where the default has rings.
    Strict,
}

impl Mode {
    pub(crate) const BOTH: [Self; 2] = [Self::Default, Self::Strict];
}

/// A vault mounted for everybody, with set-id programs and device nodes.
pub(crate) fn mounted(world: &World, mode: Mode) -> Result<Device> {
    let (strict, in_memory, rings) =
        if mode == Mode::Strict { ("true", "32768", "false") } else { ("false", "16", "true") };
    let environment = [
        ("FREEHOLD_CLIENTD_MOUNT_STRICT", strict),
        ("FREEHOLD_CLIENTD_FILES_IN_MEMORY", in_memory),
        ("FREEHOLD_CLIENTD_MOUNT_RINGS", rings),
        ("FREEHOLD_CLIENTD_MOUNT_ALLOW_OTHER", "true"),
        ("FREEHOLD_CLIENTD_MOUNT_SUID_DEV", "true"),
    ];
    let name = format!("{mode:?}").to_lowercase();
    let device = Device::start_with(&world.dir().join(&name), &environment)?;
    device.signup(&world.url(), &name, &world.password_file())?;
    device.mount()?;
    Ok(device)
}

/// Stops the daemon and starts it again: what it shows then comes from its disk.
pub(crate) fn remount(device: &mut Device) -> Result<()> {
    File::open(device.mount_point())?.sync_all()?;
    device.stop()?;
    device.restart()?;
    let status = device.ok(&["status"])?;
    ensure!(status["mount"].as_str() == device.mount_point().to_str(), "not mounted: {status}");
    Ok(())
}
