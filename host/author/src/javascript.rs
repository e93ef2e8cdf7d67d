//! JavaScript projects: one module, made a component by `@bytecodealliance/componentize-js`.

use crate::{
    build::Made,
    contracts, files, interfaces,
    process::{output, run},
};
use fuseml_domain::{Error, Manifest, Result};
use std::{path::Path, process::Command};

const PACKAGE: &str = "@bytecodealliance/componentize-js";
const SCRIPT: &str = "component.mjs";

/// Is this a JavaScript project?
pub(crate) fn is_project(source: &Path) -> bool {
    source.join("package.json").is_file()
}

/// Builds `src/main.js` with the project's own script.
///
/// # Errors
/// `invalid` when the project is not as it should be or its module fails, `unavailable` without the tool.
pub(crate) fn build(source: &Path, manifest: &Manifest) -> Result<(Vec<Made>, String)> {
    let component = contracts::only_component(manifest)?;
    let version = pinned(source)?;
    if output("node", &["--version"]).is_none() {
        return Err(Error::unavailable("node-missing", "JavaScript components need node 20 or newer: install it"));
    }
    let package = source.join("node_modules").join(PACKAGE);
    if !package.is_dir() {
        let message = format!("{PACKAGE} is not installed; run npm install in `{}`", source.display());
        return Err(Error::unavailable("componentize-js-missing", message));
    }
    let contracts = contracts::write(source, manifest)?;
    let made = source.join("target").join("component.wasm");
    run(Command::new("node").current_dir(source).arg(SCRIPT).arg(contracts).arg(contracts::WORLD).arg(&made))?;
    let bytes = std::fs::read(&made).map_err(|error| files::io("reading", &made, &error))?;
    interfaces::only_own(&bytes)?;
    let with = format!(
        "componentize-js {version}, without WASI: console, fetch, Date.now and Math.random do not work, the SDK's do"
    );
    Ok((vec![Made { file: component.file.clone(), bytes }], with))
}

/// The version that `package.json` fixes: another would make other bytes.
fn pinned(source: &Path) -> Result<String> {
    let path = source.join("package.json");
    let refuse = |why: String| Error::invalid("package-json", format!("`{}`: {why}", path.display()));
    let package: serde_json::Value =
        serde_json::from_str(&files::read_text(&path)?).map_err(|error| refuse(error.to_string()))?;
    let version = package.get("devDependencies").and_then(|all| all.get(PACKAGE)?.as_str()).unwrap_or_default();
    if !version.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(refuse(format!("devDependencies must name one exact version of {PACKAGE}")));
    }
    Ok(version.to_owned())
}
