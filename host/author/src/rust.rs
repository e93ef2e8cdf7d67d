//! Rust projects: one crate a component.
//!
//! Either the project's own folder is the crate of its only component, or the crate `<extension>-<component>` in
//! a folder below it makes `components/<component>.wasm`.

use crate::{
    build::Made,
    files::{io, read_text, sorted_entries},
    toolchain::{Target, Toolchain},
};
use fuseml_domain::{Error, Manifest, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wit_component::ComponentEncoder;

/// A crate and what it makes.
struct Crate {
    package: String,
    /// Without its ending.
    module: String,
    /// Inside the extension.
    file: String,
}

/// Is there Rust in this project?
pub(crate) fn is_project(source: &Path) -> bool {
    source.join("Cargo.toml").is_file() || sorted_entries(source).is_ok_and(|below| below.iter().any(|f| has_crate(f)))
}

/// Builds the project's crates and makes components of them.
///
/// # Errors
/// `invalid` when the project is not as it should be or does not compile, `unavailable` without a toolchain.
pub(crate) fn build(source: &Path, manifest: &Manifest) -> Result<(Vec<Made>, String)> {
    let (workspace, crates) = if has_crate(source) {
        (source.to_owned(), vec![only_crate(source, manifest)?])
    } else {
        (workspace_of(source)?, crates_below(source)?)
    };
    let toolchain = Toolchain::detect(Target::Extension)?;
    let packages: Vec<_> = crates.iter().map(|one| one.package.as_str()).collect();
    let modules = toolchain.build(&workspace, &packages)?;
    let mut made = Vec::new();
    for one in crates {
        let bytes = component_of(&modules.join(format!("{}.wasm", one.module)))
            .map_err(|error| error.context(format_args!("`{}` as a component", one.package)))?;
        made.push(Made { file: one.file, bytes });
    }
    Ok((made, toolchain.describe()))
}

/// The crate in the project's own folder makes the only component of the manifest.
fn only_crate(source: &Path, manifest: &Manifest) -> Result<Crate> {
    let [component] = manifest.components.as_slice() else {
        return Err(Error::invalid(
            "one-crate-one-component",
            format!(
                "the project is one crate, so extension.toml must name one component; it names {}. For more, give each \
                 a crate `{}-<component>` in a folder of its own",
                manifest.components.len(),
                manifest.name
            ),
        ));
    };
    let (package, module) = names_of(source)?;
    Ok(Crate { package, module, file: component.file.clone() })
}

/// The crates in the folders below the extension's own.
fn crates_below(source: &Path) -> Result<Vec<Crate>> {
    let extension = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut crates = Vec::new();
    for folder in sorted_entries(source)?.into_iter().filter(|folder| has_crate(folder)) {
        let (package, module) = names_of(&folder)?;
        let name = package.strip_prefix(extension).and_then(|rest| rest.strip_prefix('-')).ok_or_else(|| {
            Error::invalid(
                "crate-name",
                format!(
                    "the crate `{package}` is in the extension `{extension}`, so call it `{extension}-<component>`"
                ),
            )
        })?;
        crates.push(Crate { file: format!("components/{name}.wasm"), package, module });
    }
    Ok(crates)
}

/// A crate's name and its library's.
pub(crate) fn names_of(folder: &Path) -> Result<(String, String)> {
    let cargo = cargo_toml(folder)?;
    let name = |table: &str| cargo.get(table)?.get("name")?.as_str().map(str::to_owned);
    let package = name("package").ok_or_else(|| {
        Error::invalid("crate-name", format!("`{}` names no package", folder.join("Cargo.toml").display()))
    })?;
    let module = name("lib").unwrap_or_else(|| package.replace('-', "_"));
    Ok((package, module))
}

fn cargo_toml(folder: &Path) -> Result<toml::Table> {
    let path = folder.join("Cargo.toml");
    let text = read_text(&path)?;
    text.parse().map_err(|error| Error::invalid("cargo-toml", format!("`{}`: {error}", path.display())))
}

fn has_crate(folder: &Path) -> bool {
    cargo_toml(folder).is_ok_and(|cargo| cargo.contains_key("package"))
}

fn workspace_of(source: &Path) -> Result<PathBuf> {
    let is_workspace = |folder: &&Path| cargo_toml(folder).is_ok_and(|cargo| cargo.contains_key("workspace"));
    source
        .ancestors()
        .find(is_workspace)
        .map(Path::to_owned)
        .ok_or_else(|| Error::invalid("no-workspace", format!("no Cargo workspace in or above `{}`", source.display())))
}

fn component_of(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).map_err(|error| {
        io("reading", module, &error).context("the crate made no module; its [lib] needs crate-type = [\"cdylib\"]")
    })?;
    let encoder = ComponentEncoder::default().validate(true).module(&bytes);
    encoder
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| Error::invalid("not-a-component", format!("{error:#}; does it export a world of FuseML's?")))
}
