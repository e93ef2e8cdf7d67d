//! What tests and demo need beside Rust, installed below `target/tools` from the package registries, each once.

use crate::guest;
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Raised when a tool's requirements change: what was installed before is then installed anew.
const UV: &str = "uv>=0.9,<1";
const MLFLOW: [&str; 2] = ["mlflow[auth]>=3.1,<4", "scikit-learn>=1.5,<2"];
const RAY: [&str; 1] = ["ray[default]>=2.50,<3"];
/// Judges OpenAPI documents.
const OPENAPI: [&str; 1] = ["openapi-spec-validator>=0.7,<1"];
/// A client of OCI registries that others wrote.
const ORAS: [&str; 1] = ["oras>=0.2.38,<0.3"];
/// Writers of the formats whose headers are read, the types of OpenLineage, and both ends of events, as their users have
/// them.
const FORMATS: [&str; 8] = [
    "onnx>=1.23,<2",
    "safetensors>=0.8,<0.9",
    "gguf>=0.19,<0.20",
    "pyarrow>=26,<27",
    "numpy>=2.4,<3",
    "openlineage-python>=1.54,<2",
    "cloudevents>=2.2,<3",
    "standardwebhooks>=1.1,<2",
];
const ORCHESTRATORS: [(&str, &str); 4] = [
    ("prefect", "prefect>=3.9,<4"),
    ("dagster", "dagster>=1.13,<2"),
    ("zenml", "zenml[local]>=0.98,<0.99"),
    ("metaflow", "metaflow>=2.19,<3"),
];
const DVC: [&str; 1] = ["dvc>=3.60,<4"];
/// The release that `fuseml extension build` names.
const COMPONENTIZE_PY: [&str; 1] = ["componentize-py==0.25.0"];

/// The component ecosystem's own client of registries.
const WKG: &str = "0.16.1";

/// Where the tools are that everything needs.
pub(crate) struct Tools {
    pub(crate) uv: PathBuf,
    pub(crate) uv_cache: PathBuf,
    pub(crate) mlflow: PathBuf,
    pub(crate) componentize_py: PathBuf,
    pub(crate) registry: PathBuf,
    pub(crate) mlflow_extension: PathBuf,
}

/// What tests alone talk to: engines, and clients that others wrote.
pub(crate) struct Peers {
    pub(crate) ray: PathBuf,
    pub(crate) skopeo: PathBuf,
    /// Runs images.
    pub(crate) podman: PathBuf,
    pub(crate) wkg: PathBuf,
    /// The Python that has the package `oras`.
    pub(crate) oras_python: PathBuf,
    /// The Python that writes models and datasets.
    pub(crate) formats_python: PathBuf,
    /// Reads and writes keys of every kind.
    pub(crate) openssl: PathBuf,
    pub(crate) openapi_validator: PathBuf,
}

pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Installs what is missing.
pub(crate) fn all() -> Result<Tools> {
    let (tools, uv, uv_cache) = begin()?;
    let mlflow = python_tool(&tools, &uv, &uv_cache, "mlflow", &MLFLOW)?;
    let componentize_py = python_tool(&tools, &uv, &uv_cache, "componentize-py", &COMPONENTIZE_PY)?;
    let registry = debian_program("docker-registry")?;
    guest::ensure_toolchain()?;
    let mlflow_extension = target().join("extensions/mlflow");
    guest::build_extension(&root().join("plugins/mlflow"), &mlflow_extension)?;
    Ok(Tools { uv, uv_cache, mlflow, componentize_py, registry, mlflow_extension })
}

/// The same for what tests alone need.
pub(crate) fn peers() -> Result<Peers> {
    let (tools, uv, uv_cache) = begin()?;
    Ok(Peers {
        ray: python_tool(&tools, &uv, &uv_cache, "ray", &RAY)?,
        skopeo: debian_program("skopeo")?,
        podman: podman()?,
        wkg: cargo_tool(&tools, "wkg", WKG)?,
        oras_python: python_tool(&tools, &uv, &uv_cache, "oras", &ORAS)?.with_file_name("python"),
        formats_python: python_tool(&tools, &uv, &uv_cache, "formats", &FORMATS)?.with_file_name("python"),
        openssl: debian_program("openssl")?,
        openapi_validator: python_tool(&tools, &uv, &uv_cache, "openapi-spec-validator", &OPENAPI)?,
    })
}

/// podman, and what it starts containers with.
fn podman() -> Result<PathBuf> {
    debian_program("runc")?;
    debian_program("podman")
}

/// The peer of datasets, which benchmarks alone need.
pub(crate) fn dvc() -> Result<PathBuf> {
    let (tools, uv, uv_cache) = begin()?;
    python_tool(&tools, &uv, &uv_cache, "dvc", &DVC)
}

/// The peers of pipelines, which benchmarks alone need: the folder with an environment for each.
pub(crate) fn orchestrators() -> Result<PathBuf> {
    let (tools, uv, uv_cache) = begin()?;
    for (name, requirement) in ORCHESTRATORS {
        python_tool(&tools, &uv, &uv_cache, name, &[requirement])?;
    }
    Ok(tools)
}

/// The folder of tools, uv and its cache.
fn begin() -> Result<(PathBuf, PathBuf, PathBuf)> {
    let tools = target().join("tools");
    fs::create_dir_all(&tools)?;
    let uv = uv(&tools)?;
    let uv_cache = tools.join("uv-cache");
    Ok((tools, uv, uv_cache))
}

fn uv(tools: &Path) -> Result<PathBuf> {
    let folder = tools.join("uv");
    let program = folder.join("bin/uv");
    once(&folder, &[UV], || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            .context("Python with its module venv is needed")?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", UV]))
    })?;
    Ok(program)
}

/// A program that Debian has: the reference OCI registry, say.
fn debian_program(program: &str) -> Result<PathBuf> {
    // Programs are not of one mind about how they are asked.
    let answers = |word: &str| Command::new(program).arg(word).output().is_ok_and(|output| output.status.success());
    let found = || answers("--version") || answers("version");
    if !found() {
        guest::debian(&[program])?;
    }
    ensure!(found(), "the tests need {program}: install it");
    Ok(PathBuf::from(program))
}

/// A program of a Python package, in an environment of its own.
fn python_tool(tools: &Path, uv: &Path, cache: &Path, name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let folder = tools.join(name);
    once(&folder, requirements, || {
        let uv = |arguments: &[&str]| {
            let mut command = Command::new(uv);
            command.args(arguments).env("UV_CACHE_DIR", cache).env("VIRTUAL_ENV", &folder);
            command
        };
        run(uv(&["venv", "--quiet", "--clear"]).arg(&folder))?;
        run(uv(&["pip", "install", "--quiet", "--compile-bytecode"]).args(requirements))
    })?;
    Ok(folder.join("bin").join(name))
}

/// A program of a crate, built quickly rather than to be quick.
fn cargo_tool(tools: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let folder = tools.join(name);
    once(&folder, &[&format!("{name} {version}")], || {
        let mut command = cargo(&["install", "--quiet", "--locked", "--debug", name, "--version", version, "--root"]);
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        run(command.arg(&folder).env("CARGO_TARGET_DIR", target().join(format!("{name}-build"))))?;
        Ok(fs::remove_dir_all(target().join(format!("{name}-build")))?)
    })?;
    Ok(folder.join("bin").join(name))
}

/// Does the work unless it was done for the same requirements; half-done work is done again.
fn once(folder: &Path, requirements: &[&str], work: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join("fuseml-setup");
    let wanted = requirements.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    println!("installing {} …", requirements.join(", "));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    work()?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Runs a command to its end; its failure is an error that shows the whole command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{status}: {shown}");
    }
    Ok(())
}

/// Cargo, with this workspace's own settings.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}
