//! Projects are built on the mount: compilers, make and cargo find what they wrote, and build again only what changed.

use crate::program::{Mode, mounted, remount, succeed};
use anyhow::{Context, Result, ensure};
use freehold_tests::World;
use std::fs;
use std::path::Path;
use std::process::Command;

const UNITS: usize = 24;

const MAKEFILE: &str = "
OBJECTS := $(patsubst %.c,build/%.o,$(sort $(wildcard *.c)))
program: build/libunits.a
\t$(CC) -o $@ build/main.o -Lbuild -lunits
build/libunits.a: $(OBJECTS)
\trm -f $@
\tar rcs $@ $(filter-out build/main.o,$^)
build/%.o: %.c units.h | build
\t$(CC) -O1 -Wall -Werror -c -o $@ $<
build:
\tmkdir build
";

/// A program of many files: each adds its number to what the one before it says.
fn write_c_project(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let mut header = String::from("#pragma once\n");
    for unit in 0..UNITS {
        header.push_str(&format!("int unit_{unit}(int);\n"));
        let body = match unit {
            0 => "return sum".to_owned(),
            _ => format!("return unit_{}(sum) + {unit}", unit - 1),
        };
        let text = format!("#include \"units.h\"\nint unit_{unit}(int sum) {{ {body}; }}\n");
        fs::write(folder.join(format!("unit_{unit}.c")), text)?;
    }
    let last = UNITS - 1;
    let main = format!(
        "#include <stdio.h>\n#include \"units.h\"\nint main(void) {{ printf(\"%d\\n\", unit_{last}(1000)); return 0; }}\n"
    );
    fs::write(folder.join("main.c"), main)?;
    fs::write(folder.join("units.h"), header)?;
    Ok(fs::write(folder.join("Makefile"), MAKEFILE)?)
}

fn make(folder: &Path) -> Result<String> {
    succeed(Command::new("make").args(["-j2", "program"]).current_dir(folder))
}

fn compiled(printed: &str) -> usize {
    printed.lines().filter(|line| line.contains(" -c -o ")).count()
}

#[test]
fn a_c_project_builds_runs_and_builds_again_only_what_changed() -> Result<()> {
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        let folder = device.mount_point().join("project");
        write_c_project(&folder)?;
        let printed = make(&folder)?;
        ensure!(compiled(&printed) == UNITS + 1, "{mode:?}: {printed}");
        let sum = 1_000 + UNITS * (UNITS - 1) / 2;
        let program = || succeed(&mut Command::new(folder.join("program")));
        ensure!(program()?.trim() == sum.to_string(), "{mode:?}: {}", program()?);
        remount(&mut device)?;
        ensure!(compiled(&make(&folder)?) == 0, "{mode:?}: nothing had changed");
        let first = "#include \"units.h\"\nint unit_0(int sum) { return sum + 1; }\n";
        fs::write(folder.join("unit_0.c"), first)?;
        let printed = make(&folder)?;
        ensure!(compiled(&printed) == 1, "{mode:?}: {printed}");
        ensure!(program()?.trim() == (sum + 1).to_string(), "{mode:?}: {}", program()?);
    }
    Ok(())
}

#[test]
fn a_rust_crate_builds_and_its_tests_run() -> Result<()> {
    for mode in Mode::BOTH {
        let world = World::start()?;
        let device = mounted(&world, mode)?;
        let folder = device.mount_point().join("crate");
        fs::create_dir_all(folder.join("src"))?;
        fs::write(
            folder.join("Cargo.toml"),
            "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n",
        )?;
        let mut modules = String::new();
        for unit in 0..UNITS {
            modules.push_str(&format!("pub mod unit_{unit};\n"));
            let text = format!("pub fn value() -> u64 {{ {unit} }}\n");
            fs::write(folder.join(format!("src/unit_{unit}.rs")), text)?;
        }
        modules.push_str("#[test]\nfn one_is_one() { assert_eq!(unit_1::value(), 1) }\n");
        fs::write(folder.join("src/lib.rs"), modules)?;
        let cargo = |arguments: &[&str]| -> Result<String> {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(arguments).current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target"));
            succeed(&mut cargo).with_context(|| format!("{mode:?}, cargo {arguments:?}"))
        };
        let printed = cargo(&["test", "--offline"])?;
        ensure!(printed.contains("1 passed"), "{printed}");
        let again = cargo(&["test", "--offline"])?;
        ensure!(!again.contains("Compiling"), "nothing had changed: {again}");
        fs::write(folder.join("src/unit_1.rs"), "pub fn value() -> u64 { 0 + 1 }\n")?;
        ensure!(cargo(&["test", "--offline"])?.contains("Compiling"), "a change was not seen");
    }
    Ok(())
}
