//! Working apart and meeting again.

use anyhow::Result;
use freehold_tests::{ARRIVAL, Device, World, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A world with two devices that show the same.
pub(crate) struct Apart {
    pub(crate) world: World,
    pub(crate) first: Device,
    pub(crate) second: Device,
}

impl Apart {
    /// Two devices, on which `prepare` was done and has arrived.
    pub(crate) fn start(prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let world = World::start()?;
        let (first, second) = (world.first_device("first")?, world.next_device("second")?);
        prepare(first.mount_point())?;
        let mut apart = Self { world, first, second };
        apart.meet()?;
        Ok(apart)
    }

    /// Each device works while the server is stopped and the other device is away; then they meet.
    pub(crate) fn work(
        &mut self,
        on_first: impl FnOnce(&Path) -> Result<()>,
        on_second: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        self.world.stop_server()?;
        self.second.stop()?;
        on_first(self.first.mount_point())?;
        self.first.stop()?;
        self.second.restart()?;
        on_second(self.second.mount_point())?;
        self.first.restart()?;
        self.world.start_server()?;
        self.meet()
    }

    /// Waits until both show the same and nothing is on its way.
    pub(crate) fn meet(&mut self) -> Result<()> {
        // What one settles may be news for the other once more.
        for device in [&self.first, &self.second, &self.first, &self.second] {
            device.wait()?;
        }
        wait_until("both devices show the same", ARRIVAL, || {
            let (first, second) = (tree(self.first.mount_point()), tree(self.second.mount_point()));
            matches!((first, second), (Ok(first), Ok(second)) if first == second)
        })?;
        Ok(())
    }

    /// What both show.
    pub(crate) fn shown(&self) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
        let shown = tree(self.first.mount_point())?;
        assert_eq!(shown, tree(self.second.mount_point())?);
        Ok(shown)
    }

    /// The conflicts both list, as (file, copy).
    pub(crate) fn listed(&self) -> Result<Vec<(String, String)>> {
        let [first, second] = [&self.first, &self.second].map(listed);
        let (first, second) = (first?, second?);
        assert_eq!(first, second);
        Ok(first)
    }
}

fn listed(device: &Device) -> Result<Vec<(String, String)>> {
    let answer = device.ok(&["conflicts", "list"])?;
    let path = |conflict: &serde_json::Value, side: &str| {
        conflict[side]["path"].as_str().map(str::to_owned).unwrap_or_default()
    };
    let all = answer["conflicts"].as_array().cloned().unwrap_or_default();
    assert_eq!(answer["total"], all.len());
    Ok(all.iter().map(|conflict| (path(conflict, "file"), path(conflict, "copy"))).collect())
}

/// Every path below, with the content of files.
fn tree(top: &Path) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(top).min_depth(1) {
        let entry = entry?;
        let content = if entry.file_type().is_file() { Some(fs::read(entry.path())?) } else { None };
        found.insert(entry.path().strip_prefix(top)?.to_owned(), content);
    }
    Ok(found)
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
