//! All tests: the workspace's and the guests' own, with every tool they need.

use crate::{
    postgres::{Durable, Postgres},
    setup::{self, cargo, run},
};
use anyhow::{Context as _, Result, anyhow};
use std::thread;

pub(crate) fn run_all() -> Result<()> {
    // Tools come from elsewhere, for the most part: what is to be tested is built meanwhile. End-to-end tests drive the built
    // program.
    let (tools, peers) = thread::scope(|scope| -> Result<_> {
        let build = scope.spawn(|| run(&mut cargo(&["build", "--workspace", "--all-targets"])));
        let tools = setup::all().and_then(|tools| Ok((tools, setup::peers()?)));
        build.join().map_err(|_| anyhow!("the build was interrupted"))??;
        tools
    })?;
    if !cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success()) {
        run(&mut cargo(&["install", "--locked", "cargo-nextest"])).context("the test runner cannot be installed")?;
    }
    run(&mut cargo(&["nextest", "run", "--manifest-path", "plugins/Cargo.toml"]))?;
    let postgres = Postgres::start(Durable::No)?;
    run(cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
        .env("FUSEML_TEST_PROGRAM", setup::target().join("debug/fuseml"))
        .env("FUSEML_TEST_MLFLOW", &tools.mlflow)
        .env("FUSEML_TEST_EXTENSION", &tools.mlflow_extension)
        .env("FUSEML_TEST_RAY", &peers.ray)
        .env("FUSEML_TEST_REGISTRY", &tools.registry)
        .env("FUSEML_TEST_SKOPEO", &peers.skopeo)
        .env("FUSEML_TEST_PODMAN", &peers.podman)
        .env("FUSEML_TEST_POSTGRES", &postgres.url)
        .env("FUSEML_TEST_POSTGRES_PROGRAMS", &postgres.programs)
        .env("FUSEML_TEST_OPENSSL", &peers.openssl)
        .env("FUSEML_TEST_WKG", &peers.wkg)
        .env("FUSEML_TEST_OPENAPI", &peers.openapi_validator)
        .env("FUSEML_TEST_FORMATS", &peers.formats_python)
        .env("FUSEML_TEST_ORAS", &peers.oras_python)
        // Those who follow the guides have caches of their own.
        .envs(fuseml_author::shared_builds().map(|folder| ("FUSEML_GUEST_BUILDS", folder)))
        .env("FUSEML_COMPONENTIZE_PY", &tools.componentize_py)
        .env("FUSEML_UV", &tools.uv)
        .env("UV_CACHE_DIR", &tools.uv_cache))
}
