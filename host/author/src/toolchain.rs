//! What compiles Rust to WebAssembly.

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

/// Where Debian's `wasi-libc` lies.
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// What is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A component of an extension: it imports exactly its world.
    Extension,
    /// A program with files, arguments and variables (WASI).
    Program,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::Extension => "wasm32-unknown-unknown",
            Self::Program => "wasm32-wasip1",
        }
    }

    /// Debian's packages for it.
    pub fn debian_packages(self) -> Vec<&'static str> {
        let compiler = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev", "lld-22"];
        let library = (self == Self::Program).then_some("wasi-libc");
        compiler.into_iter().chain(library).collect()
    }
}

/// What compiles Rust for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    target: Target,
    way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The active toolchain has the target's standard library.
    Installed,
    /// Debian's own compiler builds the standard library from its source package; the linker is `wasm-ld`.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// The first that this machine offers.
    ///
    /// # Errors
    /// `unavailable` when there is none; the message says what to install.
    pub fn detect(target: Target) -> Result<Self> {
        if has_standard_library(target) {
            return Ok(Self { target, way: Way::Installed });
        }
        let compiler = ["/usr/bin/rustc", "/usr/bin/cargo"].iter().all(|tool| Path::new(tool).is_file());
        let source = || output("/usr/bin/rustc", &["--print", "sysroot"]).map(PathBuf::from);
        let source = || source().is_some_and(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file());
        let library = target == Target::Extension || Path::new(WASI_LIBC).join("crt1-command.o").is_file();
        match wasm_linker() {
            Some(linker) if compiler && library && source() => Ok(Self { target, way: Way::Debian { linker } }),
            _ => Err(Error::unavailable(
                "toolchain-missing",
                format!(
                    "no Rust toolchain on this machine builds components. With rustup: rustup target add {}\n\
                     On Debian: apt-get install --no-install-recommends {}",
                    target.triple(),
                    target.debian_packages().join(" ")
                ),
            )),
        }
    }

    /// For people: which compiler it is.
    pub fn describe(&self) -> String {
        let rustc = |path: &str| output(path, &["--version"]).unwrap_or_else(|| path.to_owned());
        match &self.way {
            Way::Installed => format!("the active toolchain ({})", rustc("rustc")),
            Way::Debian { .. } => {
                format!("Debian's toolchain ({}), standard library included", rustc("/usr/bin/rustc"))
            }
        }
    }

    /// `cargo` for guests, without arguments.
    fn cargo(&self, workspace: &Path) -> Command {
        let mut cargo = match &self.way {
            Way::Installed => Command::new("cargo"),
            Way::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        // Set by a cargo that runs this program, and about another compiler and another build.
        for variable in ["RUSTFLAGS", "RUSTC", "RUSTDOC", "CARGO", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
            cargo.env_remove(variable);
        }
        if let Way::Debian { linker } = &self.way {
            cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC_WRAPPER");
            cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc");
            let triple = self.target.triple().to_uppercase().replace('-', "_");
            cargo.env(format!("CARGO_TARGET_{triple}_LINKER"), linker);
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
        let own = match &self.way {
            Way::Installed => "guest",
            Way::Debian { .. } => "guest-debian",
        };
        let target = workspace.join("target").join(own);
        let mut build = self.cargo(workspace);
        // What the workspaces of a machine have in common, the standard library first, is compiled once for all.
        if let Some(shared) = shared_builds() {
            build.env("CARGO_BUILD_BUILD_DIR", shared.join(own));
        }
        build.args(["build", "--locked", "--release", "--target", self.target.triple(), "--target-dir"]).arg(&target);
        build.args(packages.iter().flat_map(|package| ["--package", package]));
        if let Way::Debian { .. } = &self.way {
            build.arg("-Zbuild-std=std,panic_abort");
        }
        run(build.env("CARGO_ENCODED_RUSTFLAGS", self.flags(workspace)?))?;
        Ok(target.join(self.target.triple()).join("release"))
    }

    fn flags(&self, workspace: &Path) -> Result<OsString> {
        let mut flags: Vec<OsString> = Vec::new();
        for (folder, name) in renamed(workspace)? {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(folder);
            flag.push("=");
            flag.push(name);
            flags.push(flag);
        }
        if let (Target::Program, Way::Debian { .. }) = (self.target, &self.way) {
            // Debian keeps the C library of WASI apart from the compiler.
            flags.extend(["-Clink-self-contained=no".into(), format!("-L{WASI_LIBC}").into()]);
            flags.push(format!("-Clink-arg={WASI_LIBC}/crt1-command.o").into());
        }
        Ok(flags.join(std::ffi::OsStr::new("\u{1f}")))
    }
}

/// Paths of this machine end up in panic messages; renamed, two machines make the same bytes. Those of the workspace's own
/// files are relative, and every workspace has the same flags, without which nothing could be shared.
fn renamed(workspace: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let own = || (workspace.to_owned(), "/extension");
    let mut renamed = vec![shared_builds().map_or_else(own, |shared| (shared, "/builds"))];
    // The folders in it are named after where the packages come from, which differs between machines.
    if let Some(sources) = home.map(|home| home.join("registry/src")).filter(|sources| sources.is_dir()) {
        renamed.extend(sorted_entries(&sources)?.into_iter().map(|folder| (folder, "/packages")));
    }
    Ok(renamed)
}

/// Where what is compiled lies that is no workspace's own: `FUSEML_GUEST_BUILDS`, or the user's caches. It can be removed at
/// any time.
pub fn shared_builds() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let shared = variable("FUSEML_GUEST_BUILDS").or_else(|| Some(caches()?.join("fuseml/guests")))?;
    std::fs::create_dir_all(&shared).is_ok().then_some(shared)
}

fn has_standard_library(target: Target) -> bool {
    let folder = output("rustc", &["--print", "target-libdir", "--target", target.triple()]);
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
