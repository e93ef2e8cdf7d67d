//! The benchmarks, on what users run: the release build.

use crate::{
    postgres::{Durable, Postgres},
    setup::{self, cargo, run},
};
use anyhow::Result;
use std::{path::PathBuf, process::Command};

/// All parts, or those that are named: `sandbox`, `engine`, `artifacts`, `lineage`, `datasets`, `git`,
/// `marketplace`.
pub(crate) fn measure(parts: &[String]) -> Result<()> {
    let tools = setup::all()?;
    run(&mut cargo(&["build", "--release", "--package", "fuseml", "--package", "fuseml-bench"]))?;
    let extism = extism()?;
    let release = setup::target().join("release");
    let examples = setup::root().join("examples/extensions");
    let built = |example: &str| -> Result<PathBuf> {
        // As an author copies it: links become files.
        let copies = setup::target().join("bench-extensions");
        let (source, out) = (copies.join(example), setup::target().join("extensions").join(example));
        std::fs::create_dir_all(&copies)?;
        run(Command::new("cp").arg("-rLT").args([&examples.join(example), &source]))?;
        if source.join("package.json").is_file() {
            run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&source))?;
        }
        run(Command::new(release.join("fuseml"))
            .args(["extension", "build"])
            .arg(source)
            .arg("--out")
            .arg(&out)
            .env("FUSEML_COMPONENTIZE_PY", &tools.componentize_py))?;
        Ok(out)
    };
    let (python, javascript) = (built("python-mlflow-datasets")?, built("javascript-oci-registry")?);
    let postgres = Postgres::start(Durable::Yes)?;
    run(Command::new(release.join("fuseml-bench"))
        .arg(release.join("fuseml"))
        .arg(extism)
        .args([&tools.registry, &tools.mlflow])
        .arg(&postgres.url)
        .arg(setup::dvc()?)
        .arg(setup::orchestrators()?)
        .arg(&tools.mlflow_extension)
        .args([python, javascript])
        .args(parts))
}

/// The peer with a workspace of its own, whose builds do not mix with ours.
fn extism() -> Result<PathBuf> {
    let target = setup::target().join("extism");
    run(cargo(&["build", "--release", "--locked", "--manifest-path", "bench/extism/Cargo.toml"])
        .env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/fuseml-bench-extism"))
}
