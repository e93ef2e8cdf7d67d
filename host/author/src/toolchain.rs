//! What compiles Rust to `wasm32-unknown-unknown`.

use crate::{
    files::sorted_entries,
    process::{output, run},
};
use fuseml_domain::{Error, Result};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// What compiles Rust components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain has the target's standard library.
    Installed,
    /// Debian's own compiler builds the standard library from its source package; the linker is `wasm-ld`.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Debian's packages for the second way.
    pub const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev", "lld-22"];

    /// The first that this machine offers.
    ///
    /// # Errors
    /// `unavailable` when there is none; the message says what to install.
    pub fn detect() -> Result<Self> {
        if has_standard_library() {
            return Ok(Self::Installed);
        }
        let compiler = ["/usr/bin/rustc", "/usr/bin/cargo"].iter().all(|tool| Path::new(tool).is_file());
        let source = || output("/usr/bin/rustc", &["--print", "sysroot"]).map(PathBuf::from);
        let source = || source().is_some_and(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file());
        match wasm_linker() {
            Some(linker) if compiler && source() => Ok(Self::Debian { linker }),
            _ => Err(Error::unavailable(
                "toolchain-missing",
                format!(
                    "no Rust toolchain on this machine builds components. With rustup: rustup target add {TARGET}\n\
                     On Debian: apt-get install --no-install-recommends {}",
                    Self::DEBIAN_PACKAGES.join(" ")
                ),
            )),
        }
    }

    /// For people: which compiler it is.
    pub fn describe(&self) -> String {
        let rustc = |path: &str| output(path, &["--version"]).unwrap_or_else(|| path.to_owned());
        match self {
            Self::Installed => format!("the active toolchain ({})", rustc("rustc")),
            Self::Debian { .. } => {
                format!("Debian's toolchain ({}), standard library included", rustc("/usr/bin/rustc"))
            }
        }
    }

    /// `cargo` for guests, without arguments.
    fn cargo(&self, workspace: &Path) -> Command {
        let mut cargo = match self {
            Self::Installed => Command::new("cargo"),
            Self::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        // Set by a cargo that runs this program, and about another compiler and another build.
        for variable in ["RUSTFLAGS", "RUSTC", "RUSTDOC", "CARGO", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
            cargo.env_remove(variable);
        }
        if let Self::Debian { linker } = self {
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC_WRAPPER");
            cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc");
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo.current_dir(workspace);
        cargo
    }

    /// Builds the packages of a workspace and answers the folder of the modules. Each toolchain has a target
    /// folder of its own: their standard libraries do not mix. A new project gets its lock file here; from then
    /// on the lock file decides.
    pub(crate) fn build(&self, workspace: &Path, packages: &[&str]) -> Result<PathBuf> {
        // Before the flags, which name the folders that it fills.
        let mut fetch = self.cargo(workspace);
        fetch.args(["fetch", "--quiet"]);
        if workspace.join("Cargo.lock").is_file() {
            fetch.arg("--locked");
        }
        run(&mut fetch)?;
        let target = workspace.join("target").join(match self {
            Self::Installed => "guest",
            Self::Debian { .. } => "guest-debian",
        });
        let mut build = self.cargo(workspace);
        build.args(["build", "--locked", "--release", "--target", TARGET, "--target-dir"]).arg(&target);
        build.args(packages.iter().flat_map(|package| ["--package", package]));
        if let Self::Debian { .. } = self {
            build.arg("-Zbuild-std=std,panic_abort");
        }
        run(build.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace)?))?;
        Ok(target.join(TARGET).join("release"))
    }
}

/// Paths of this machine end up in panic messages; renamed, two machines make the same bytes.
fn flags(workspace: &Path) -> Result<OsString> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let mut renamed = vec![(workspace.to_owned(), "/extension")];
    // The folders in it are named after where the packages come from, which differs between machines.
    if let Some(sources) = home.map(|home| home.join("registry/src")).filter(|sources| sources.is_dir()) {
        renamed.extend(sorted_entries(&sources)?.into_iter().map(|folder| (folder, "/packages")));
    }
    let mut flags = OsString::new();
    for (folder, name) in renamed {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

fn has_standard_library() -> bool {
    let folder = output("rustc", &["--print", "target-libdir", "--target", TARGET]);
    folder.is_some_and(|folder| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()))
}

/// `wasm-ld`, or the newest `wasm-ld-<n>`.
fn wasm_linker() -> Option<PathBuf> {
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("wasm-ld")?;
        if name.is_empty() { Some(u32::MAX) } else { name.strip_prefix('-')?.parse().ok() }
    };
    let found = sorted_entries(Path::new("/usr/bin")).ok()?;
    found.into_iter().filter_map(|path| Some((number(&path)?, path))).max().map(|(_, path)| path)
}
