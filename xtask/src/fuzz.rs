//! Fuzzing with coverage: the targets of `fuzz` under libFuzzer, which a stable compiler can instrument for.

use crate::setup::{self, cargo, run};
use anyhow::{Result, ensure};
use std::{fs, process::Command};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// Runs each of the targets, or those that are named, for so many seconds. What was found interesting is kept in
/// `target/fuzz/corpus`; what failed in `target/fuzz/<target>-…`.
pub(crate) fn fuzz(targets: &[String], seconds: u32) -> Result<()> {
    let folder = setup::target().join("fuzz");
    let corpus = folder.join("corpus");
    run(cargo(&["run", "--quiet", "--package", "fuseml-fuzz", "--bin", "seeds", "--"]).arg(&corpus))?;
    let mut known = Vec::new();
    for entry in fs::read_dir(&corpus)? {
        known.push(entry?.file_name().to_string_lossy().into_owned());
    }
    known.sort();
    for target in targets {
        ensure!(known.contains(target), "there is no target {target}; there are {}", known.join(", "));
    }
    run(cargo(&[
        "build",
        "--release",
        "--package",
        "fuseml-fuzz",
        "--bin",
        "fuseml-fuzz",
        "--features",
        "libfuzzer",
        "--target",
        TRIPLE,
    ])
    .env("CARGO_TARGET_DIR", &folder)
    .env("RUSTFLAGS", FLAGS))?;
    for target in known.iter().filter(|target| targets.is_empty() || targets.contains(target)) {
        println!("{target} for {seconds} s …");
        run(Command::new(folder.join(TRIPLE).join("release/fuseml-fuzz"))
            .arg(corpus.join(target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/{target}-", folder.display()))
            .args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1", "-verbosity=0", "-max_len=65536"])
            .env("FUSEML_FUZZ_TARGET", target))?;
    }
    Ok(())
}
