//! The world that a Python or JavaScript component is built against.
//!
//! Their tools import a world whole, used or not. So that a component imports no more than its manifest
//! requests, the project's contracts are laid out with a world of its own that has just that.

use crate::files;
use fuseml_domain::{Error, Manifest, Result, World};
use std::path::{Path, PathBuf};

/// Name of the world below.
pub(crate) const WORLD: &str = "component";
/// Of every capability.
const VERSION: &str = "0.1.0";
const ALWAYS: [&str; 3] = ["logging", "clock", "random"];

/// The only component of a project, which the project's own folder makes.
///
/// # Errors
/// `invalid` when the manifest names none or several.
pub(crate) fn only_component(manifest: &Manifest) -> Result<&fuseml_domain::Component> {
    match manifest.components.as_slice() {
        [component] => Ok(component),
        other => Err(Error::invalid(
            "one-project-one-component",
            format!("a project makes one component; extension.toml names {}", other.len()),
        )),
    }
}

/// Writes the contracts to `target/contracts` and answers that folder.
///
/// # Errors
/// `not-found` when the project has no `wit/`.
pub(crate) fn write(source: &Path, manifest: &Manifest) -> Result<PathBuf> {
    let component = only_component(manifest)?;
    let folder = source.join("target/contracts");
    files::remove(&folder)?;
    let requested = component.requests.iter().map(|request| request.capability.name());
    let imports: Vec<_> = ALWAYS.into_iter().chain(requested).collect();
    let contract = component.contract()?;
    let package = contract.world.name();
    let export = match contract.world {
        World::ArtifactStore => "store",
        World::Builder => "build",
        World::RuntimeAgent => "agent",
    };
    let version = format!("0.{}.0", contract.minor);
    let mut text = format!("package fuseml:project@{VERSION};\nworld {WORLD} {{\n");
    for import in &imports {
        text.push_str(&format!("  import fuseml:{import}/{import}@{VERSION};\n"));
    }
    text.push_str(&format!("  export fuseml:{package}/{export}@{version};\n}}\n"));
    files::write(&folder.join("world.wit"), text.as_bytes())?;
    // A package that names another needs it here too; all are small.
    for contract in files::sorted_entries(&source.join("wit"))? {
        let Some(name) = contract.file_name().and_then(|name| name.to_str()) else { continue };
        let file = format!("{name}.wit");
        let version = if name == package { version.as_str() } else { VERSION };
        files::copy(&contract.join(version).join(&file), &folder.join("deps").join(name).join(&file))?;
    }
    Ok(folder)
}
