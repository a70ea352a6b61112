//! One device deletes a great many files: the other holds them until a person decides.

use super::apart::{Apart, names};
use anyhow::Result;
use freehold_tests::{ARRIVAL, Device, wait_for_content, wait_until};
use std::fs;
use std::path::Path;

const FILES: usize = 150;

fn fill(top: &Path) -> Result<()> {
    fs::create_dir(top.join("photos"))?;
    for number in 0..FILES {
        fs::write(top.join(format!("photos/{number}.jpg")), format!("photo {number}"))?;
    }
    Ok(fs::write(top.join("beside"), "beside")?)
}

/// The first device deletes the folder, and the second goes on: what comes after arrives.
fn delete_and_go_on(apart: &Apart) -> Result<()> {
    fs::remove_dir_all(apart.first.mount_point().join("photos"))?;
    fs::write(apart.first.mount_point().join("after"), "after")?;
    apart.first.wait()?;
    wait_for_content(&apart.second.mount_point().join("after"), b"after")?;
    apart.second.wait()?;
    assert_held(&apart.second)
}

/// Deletions may come in several steps; those before the limit was reached are shown.
fn assert_held(device: &Device) -> Result<()> {
    let shown = names(&device.mount_point().join("photos"))?.len();
    let held = device.ok(&["deletions", "list"])?;
    assert_eq!(held["held"][0]["files"], shown, "{held}");
    assert!(shown >= FILES - 64, "{shown} of {FILES} files are still shown");
    let status = device.ok(&["status"])?;
    let problem = &status["problems"][0];
    assert_eq!(
        (status["state"].as_str(), problem["code"].as_str()),
        (Some("attention"), Some("mass_deletion"))
    );
    assert!(problem["message"].as_str().is_some_and(|text| text.contains(&format!("deleted {shown} files"))));
    assert!(problem["hint"].as_str().is_some_and(|text| text.contains("freehold deletions accept")));
    Ok(())
}

#[test]
fn a_mass_deletion_is_held_over_a_restart_until_it_is_accepted() -> Result<()> {
    let mut apart = Apart::start(fill)?;
    delete_and_go_on(&apart)?;
    apart.second.stop()?;
    apart.second.restart()?;
    assert_held(&apart.second)?;
    apart.second.ok(&["deletions", "accept"])?;
    assert_eq!(names(apart.second.mount_point())?, ["after", "beside"]);
    apart.meet()?;
    assert_eq!(apart.second.ok(&["deletions", "list"])?["held"], serde_json::json!([]));
    assert_eq!(apart.second.ok(&["status"])?["problems"], serde_json::json!([]));
    Ok(())
}

#[test]
fn a_mass_deletion_that_is_undone_comes_back_on_both_devices() -> Result<()> {
    let mut apart = Apart::start(fill)?;
    delete_and_go_on(&apart)?;
    let kept = names(&apart.second.mount_point().join("photos"))?;
    apart.second.ok(&["deletions", "undo"])?;
    let folder = apart.first.mount_point().join("photos");
    wait_until("the files are back", ARRIVAL, || names(&folder).is_ok_and(|found| found == kept))?;
    apart.meet()?;
    assert_eq!(fs::read(folder.join("149.jpg"))?, b"photo 149");
    for device in [&apart.first, &apart.second] {
        assert_eq!(device.ok(&["status"])?["problems"], serde_json::json!([]));
    }
    Ok(())
}

#[test]
fn moving_a_large_folder_and_deleting_on_this_device_are_not_held() -> Result<()> {
    let mut apart = Apart::start(fill)?;
    fs::rename(apart.first.mount_point().join("photos"), apart.first.mount_point().join("moved"))?;
    apart.meet()?;
    fs::create_dir(apart.first.mount_point().join("elsewhere"))?;
    for number in 0..FILES {
        let name = format!("{number}.jpg");
        let from = apart.first.mount_point().join("moved").join(&name);
        fs::rename(from, apart.first.mount_point().join("elsewhere").join(&name))?;
    }
    apart.meet()?;
    assert_eq!(names(&apart.second.mount_point().join("elsewhere"))?.len(), FILES);
    fs::remove_dir_all(apart.second.mount_point().join("elsewhere"))?;
    apart.second.wait()?;
    assert_eq!(apart.second.ok(&["deletions", "list"])?["held"], serde_json::json!([]));
    assert!(!apart.second.mount_point().join("elsewhere").exists());
    Ok(())
}
