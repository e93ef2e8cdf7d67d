//! Python projects: one module, made a component by `componentize-py`.

use crate::{
    build::Made,
    contracts, files, interfaces,
    process::{output, run},
};
use fuseml_domain::{Error, Manifest, Result};
use std::{path::Path, process::Command};

const VERSION: &str = "0.25.0";
const PROGRAM: &str = "FUSEML_COMPONENTIZE_PY";

/// Is this a Python project?
pub(crate) fn is_project(source: &Path) -> bool {
    source.join("pyproject.toml").is_file()
}

/// Builds the module that `[tool.fuseml]` names, from `src/` and `vendor/`.
///
/// # Errors
/// `invalid` when the project is not as it should be or its module fails, `unavailable` without the tool.
pub(crate) fn build(source: &Path, manifest: &Manifest) -> Result<(Vec<Made>, String)> {
    let component = contracts::only_component(manifest)?;
    let module = module_of(source)?;
    let contracts = contracts::write(source, manifest)?;
    let made = source.join("target").join("component.wasm");
    let mut tool = tool()?;
    tool.current_dir(source).arg("--wit-path").arg(contracts).args(["--world", contracts::WORLD, "--quiet"]);
    tool.args(["componentize", "--stub-wasi", "--python-path", "src", "--python-path", "vendor"]);
    run(tool.arg("--output").arg(&made).arg(module))?;
    let bytes = std::fs::read(&made).map_err(|error| files::io("reading", &made, &error))?;
    interfaces::only_own(&bytes)?;
    let with = format!(
        "componentize-py {VERSION}; WASI is stubbed: Python's own files, sockets, clock and randomness do not work, \
         fuseml_extension's do"
    );
    Ok((vec![Made { file: component.file.clone(), bytes }], with))
}

fn module_of(source: &Path) -> Result<String> {
    let path = source.join("pyproject.toml");
    let refuse = |why: String| Error::invalid("pyproject", format!("`{}`: {why}", path.display()));
    let project: toml::Table = files::read_text(&path)?.parse().map_err(|error| refuse(format!("{error}")))?;
    let module = project.get("tool").and_then(|tool| tool.get("fuseml")?.get("module")?.as_str());
    module
        .map(str::to_owned)
        .ok_or_else(|| refuse("say which module in src is the component: [tool.fuseml] module".into()))
}

/// The one that the environment names, the one on the path, or one that uv fetches.
fn tool() -> Result<Command> {
    if let Some(program) = std::env::var_os(PROGRAM) {
        return Ok(Command::new(program));
    }
    if output("componentize-py", &["--version"]).is_some_and(|said| said.ends_with(VERSION)) {
        return Ok(Command::new("componentize-py"));
    }
    if output("uv", &["--version"]).is_some() {
        let mut uv = Command::new("uv");
        uv.args(["tool", "run", "--quiet"]).arg(format!("componentize-py@{VERSION}"));
        return Ok(uv);
    }
    Err(Error::unavailable(
        "componentize-py-missing",
        format!(
            "Python components need componentize-py {VERSION}: install uv, which fetches it, or name one in {PROGRAM}"
        ),
    ))
}
