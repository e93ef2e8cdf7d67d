//! Building extensions: guest crates to core modules, core modules to components, all of it to one folder.
//!
//! Promises: the first toolchain that the machine offers is taken and named; two checkouts give the same bytes;
//! `out` is either the old folder or the whole new one; whatever `extension.toml` names is in it, and a crate
//! that it does not name is an error. By convention the crate `<extension>-<component>` in a folder below the
//! extension's own makes `components/<component>.wasm`.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";
const RUSTUP_HINT: &str = "rustup target add wasm32-unknown-unknown";
const APT_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev", "lld-22"];

/// What compiles guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain has the target's standard library.
    Installed,
    /// Debian's own compiler builds the standard library from its source package; the linker is `wasm-ld`.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// The first that this machine offers.
    fn detect() -> Option<Self> {
        if has_standard_library() {
            return Some(Self::Installed);
        }
        let compiler = ["/usr/bin/rustc", "/usr/bin/cargo"].iter().all(|tool| Path::new(tool).is_file());
        let source = || output("/usr/bin/rustc", &["--print", "sysroot"]).map(PathBuf::from);
        let source = || source().is_some_and(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file());
        match wasm_linker() {
            Some(linker) if compiler && source() => Some(Self::Debian { linker }),
            _ => None,
        }
    }

    fn describe(&self) -> String {
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
        // Set for xtask by the cargo that runs it, and about another compiler and another build.
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
    /// folder of its own: their standard libraries do not mix.
    fn build(&self, workspace: &Path, components: &[Component]) -> Result<PathBuf> {
        // Before the flags, which name the folders that it fills.
        run(self.cargo(workspace).args(["fetch", "--locked", "--quiet"]))?;
        let target = workspace.join("target").join(match self {
            Self::Installed => "guest",
            Self::Debian { .. } => "guest-debian",
        });
        let mut build = self.cargo(workspace);
        build.args(["build", "--locked", "--release", "--target", TARGET, "--target-dir"]).arg(&target);
        build.args(components.iter().flat_map(|component| ["--package", &component.package]));
        if let Self::Debian { .. } = self {
            build.arg("-Zbuild-std=std,panic_abort");
        }
        run(build.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace)?))?;
        Ok(target.join(TARGET).join("release"))
    }
}

/// The machine's toolchain for guests; installed first where that takes no question (Debian, as root).
pub fn ensure_toolchain() -> Result<Toolchain> {
    if let Some(toolchain) = Toolchain::detect() {
        return Ok(toolchain);
    }
    let root = output("id", &["-u"]).is_some_and(|id| id == "0");
    if root && Path::new("/usr/bin/apt-get").is_file() {
        println!("no toolchain builds components here; running: {}", apt_command());
        // A new machine's list of packages is old or empty.
        run(Command::new("/usr/bin/apt-get").args(["update", "--quiet"]))?;
        let mut apt = Command::new("/usr/bin/apt-get");
        apt.args(["install", "-y", "--no-install-recommends"]).args(APT_PACKAGES);
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    toolchain()
}

fn toolchain() -> Result<Toolchain> {
    Toolchain::detect().with_context(|| {
        format!(
            "no toolchain on this machine builds components. With rustup: {RUSTUP_HINT}\nOn Debian: {}",
            apt_command()
        )
    })
}

fn apt_command() -> String {
    format!("apt-get install -y --no-install-recommends {}", APT_PACKAGES.join(" "))
}

/// Builds the extension in `source` and lays it out in `out`, which it replaces.
pub fn build_extension(source: &Path, out: &Path) -> Result<()> {
    let source = source.canonicalize().with_context(|| format!("no extension in `{}`", source.display()))?;
    let manifest = source.join("extension.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| format!("reading `{}`", manifest.display()))?;
    let components = components(&source)?;
    let workspace = workspace_of(&source)?;
    let toolchain = toolchain()?;
    println!("building {} with {}", names(&components), toolchain.describe());

    let modules = toolchain.build(&workspace, &components)?;
    let staging = beside(out, "new")?;
    let result = lay_out(&source, &manifest, &components, &modules, &staging).and_then(|()| replace(out, &staging));
    // After a failure nothing half-made stays behind; the error that counts is the first.
    if result.is_err() {
        let _ = remove(&staging);
    }
    result
}

fn lay_out(source: &Path, manifest: &str, components: &[Component], modules: &Path, staging: &Path) -> Result<()> {
    remove(staging)?;
    fs::create_dir_all(staging.join("components"))?;
    for component in components {
        let module = modules.join(format!("{}.wasm", component.package.replace('-', "_")));
        let bytes = component_of(&module).with_context(|| format!("`{}` as a component", component.package))?;
        println!("  {} {} KiB", component.file(), bytes.len().div_ceil(1024));
        fs::write(staging.join(component.file()), bytes)?;
    }
    copy_rest(source, staging)?;
    check_layout(manifest, components, staging)
}

struct Component {
    package: String,
    name: String,
}

impl Component {
    fn file(&self) -> String {
        format!("components/{}.wasm", self.name)
    }
}

fn names(components: &[Component]) -> String {
    components.iter().map(|component| component.package.as_str()).collect::<Vec<_>>().join(", ")
}

/// The crates in the folders below the extension's own.
fn components(source: &Path) -> Result<Vec<Component>> {
    let extension = source.file_name().and_then(|name| name.to_str()).context("an extension needs a folder name")?;
    let mut components = Vec::new();
    for folder in sorted_entries(source)? {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let package = manifest.lines().find_map(|line| value_of(line, "name"));
        let package = package.with_context(|| format!("`{}/Cargo.toml` names no package", folder.display()))?;
        let name = package.strip_prefix(extension).and_then(|rest| rest.strip_prefix('-'));
        let name = name.with_context(|| {
            format!("the crate `{package}` is in the extension `{extension}`, so call it `{extension}-<component>`")
        })?;
        components.push(Component { name: name.to_owned(), package: package.to_owned() });
    }
    ensure!(!components.is_empty(), "`{}` has no folder with a crate", source.display());
    Ok(components)
}

/// The value in a TOML line `key = "value"`; enough for the two keys that matter here.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim_start();
    value.strip_prefix('"')?.split_once('"').map(|(value, _)| value)
}

fn workspace_of(source: &Path) -> Result<PathBuf> {
    let is_workspace = |folder: &&Path| {
        fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
    };
    let found = source.ancestors().find(is_workspace).map(Path::to_owned);
    found.with_context(|| format!("no Cargo workspace above `{}`", source.display()))
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
    folder.is_some_and(|folder| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()))
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

fn component_of(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).with_context(|| format!("reading `{}`", module.display()))?;
    ComponentEncoder::default().validate(true).module(&bytes)?.encode()
}

/// What an extension holds besides its components.
fn copy_rest(source: &Path, staging: &Path) -> Result<()> {
    for file in ["extension.toml", "README.md"] {
        if source.join(file).is_file() {
            fs::copy(source.join(file), staging.join(file))?;
        }
    }
    let templates = source.join("templates");
    if templates.is_dir() {
        fs::create_dir(staging.join("templates"))?;
        for file in sorted_entries(&templates)? {
            let name = file.file_name().with_context(|| format!("`{}` has no name", file.display()))?;
            ensure!(file.is_file(), "`{}` is no file; templates are files side by side", file.display());
            fs::copy(&file, staging.join("templates").join(name))?;
        }
    }
    Ok(())
}

/// Manifest and folder must say the same, both ways.
fn check_layout(manifest: &str, components: &[Component], staging: &Path) -> Result<()> {
    let named: Vec<&str> = manifest.lines().filter_map(|line| value_of(line, "file")).collect();
    if let Some(missing) = named.iter().find(|file| !staging.join(file).is_file()) {
        bail!("extension.toml names `{missing}`, which neither a crate nor a file of the extension makes");
    }
    if let Some(extra) = components.iter().find(|component| !named.contains(&component.file().as_str())) {
        bail!("the crate `{}` makes `{}`, which extension.toml does not name", extra.package, extra.file());
    }
    Ok(())
}

/// No rename replaces a folder that is not empty, so the old one steps aside first.
fn replace(out: &Path, staging: &Path) -> Result<()> {
    let old = beside(out, "old")?;
    remove(&old)?;
    if out.exists() {
        fs::rename(out, &old).with_context(|| format!("moving `{}` aside", out.display()))?;
    }
    fs::rename(staging, out).with_context(|| format!("moving the new `{}` into place", out.display()))?;
    remove(&old)
}

/// A hidden name in the same folder, so that renaming stays within one file system.
fn beside(out: &Path, what: &str) -> Result<PathBuf> {
    let name = out.file_name().with_context(|| format!("`{}` is no folder to write", out.display()))?;
    Ok(out.with_file_name(format!(".{}.{what}-{}", name.to_string_lossy(), std::process::id())))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing `{}`", folder.display()))?;
    }
    Ok(())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting `{program}`"))?;
    ensure!(status.success(), "`{program}` failed: {status}");
    Ok(())
}
