//! Building our own extensions with what outside authors have; the toolchain is installed where it is missing.

use anyhow::{Context as _, Result};
use fuseml_author::{Target, Toolchain};
use std::{path::Path, process::Command};

use crate::setup::run;

/// Makes sure that components can be built here; installs what is missing where that takes no question
/// (Debian, as root).
pub fn ensure_toolchain() -> Result<()> {
    for target in [Target::Extension, Target::Program] {
        if Toolchain::detect(target).is_err() {
            debian(&target.debian_packages())?;
            Toolchain::detect(target)?;
        }
    }
    Ok(())
}

/// Installs Debian's packages where that takes no question: on Debian, as root.
pub fn debian(packages: &[&str]) -> Result<()> {
    let id = Command::new("id").arg("-u").output().ok();
    let root = id.is_some_and(|id| id.stdout.trim_ascii() == b"0");
    if !root || !Path::new("/usr/bin/apt-get").is_file() {
        return Ok(());
    }
    println!("installing Debian's {} …", packages.join(" "));
    // A new machine's list of packages is old or empty.
    run(Command::new("/usr/bin/apt-get").args(["update", "--quiet"]))?;
    let mut apt = Command::new("/usr/bin/apt-get");
    apt.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Builds the extension in `source` and lays it out in `out`, which it replaces.
pub fn build_extension(source: &Path, out: &Path) -> Result<()> {
    let built = fuseml_author::build(source, out).with_context(|| format!("building `{}`", source.display()))?;
    println!("{} with {}", source.display(), built.toolchain);
    for component in &built.components {
        println!("  {} {} KiB", component.file, component.bytes.div_ceil(1024));
    }
    Ok(())
}
