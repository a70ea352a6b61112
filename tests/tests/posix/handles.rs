//! File handles: a number outlives the kernel's memory of the file, and a restart of the daemon.

use crate::program::{Mode, mounted, remount, succeed};
use anyhow::{Result, ensure};
use freehold_tests::World;
use std::fs;
use std::path::Path;
use std::process::Command;

/// `handle take PATH` prints a handle; `handle open MOUNT HANDLE` prints what can be read by it, or the error.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct file_handle *h = calloc(1, sizeof *h + MAX_HANDLE_SZ);
    h->handle_bytes = MAX_HANDLE_SZ;
    if (argc == 3 && !strcmp(argv[1], "take")) {
        int mount;
        if (name_to_handle_at(AT_FDCWD, argv[2], h, &mount, 0)) { perror("take"); return 1; }
        printf("%d:", h->handle_type);
        for (unsigned i = 0; i < h->handle_bytes; i++) printf("%02x", h->f_handle[i]);
        return 0;
    }
    if (argc != 4) return 2;
    int mount = open(argv[2], O_RDONLY | O_DIRECTORY);
    const char *hex = strchr(argv[3], ':') + 1;
    h->handle_type = atoi(argv[3]);
    h->handle_bytes = strlen(hex) / 2;
    for (unsigned i = 0; i < h->handle_bytes; i++) sscanf(hex + 2 * i, "%2hhx", &h->f_handle[i]);
    int file = open_by_handle_at(mount, h, O_RDONLY);
    if (file < 0) { printf("errno %d", errno); return 0; }
    char text[64];
    ssize_t got = read(file, text, sizeof text);
    printf("%.*s", got < 0 ? 0 : (int)got, text);
    return 0;
}
"#;

fn compiled(dir: &Path) -> Result<Command> {
    let (source, program) = (dir.join("handle.c"), dir.join("handle"));
    fs::write(&source, PROGRAM)?;
    succeed(Command::new("cc").args(["-Wall", "-Werror", "-o"]).args([&program, &source]))?;
    Ok(Command::new(program))
}

#[test]
fn a_handle_opens_its_file_after_the_daemon_was_restarted_and_is_stale_once_it_is_gone() -> Result<()> {
    let world = World::start()?;
    let mut device = mounted(&world, Mode::Default)?;
    let program = compiled(world.dir())?;
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new(program.get_program());
        succeed(command.args(arguments))
    };
    let mount = device.mount_point().to_path_buf();
    fs::create_dir(mount.join("folder"))?;
    for number in 0..64 {
        fs::write(mount.join(format!("folder/{number}")), format!("file {number}"))?;
    }
    let take = |name: &str| run(&["take".as_ref(), mount.join(name).as_os_str()]);
    let (kept, gone) = (take("folder/40")?, take("folder/41")?);
    fs::rename(mount.join("folder/40"), mount.join("elsewhere"))?;
    device.ok(&["wait"])?;
    remount(&mut device)?;
    let open = |handle: &str| run(&["open".as_ref(), mount.as_os_str(), handle.as_ref()]);
    ensure!(open(&kept)? == "file 40", "{kept}: {}", open(&kept)?);
    ensure!(open(&gone)? == "file 41", "{gone}: {}", open(&gone)?);
    fs::remove_file(mount.join("folder/41"))?;
    device.ok(&["wait"])?;
    remount(&mut device)?;
    ensure!(open(&gone)? == "errno 116", "a file that is gone is stale: {}", open(&gone)?);
    ensure!(open(&kept)? == "file 40", "{}", open(&kept)?);
    Ok(())
}
