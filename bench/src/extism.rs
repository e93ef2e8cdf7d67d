//! Plugins of Extism: a program of its own measures them, for Extism brings another Wasmtime.

use crate::figures::{Spread, line, ratio};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{path::Path, process::Command, time::Duration};

/// What `bench/extism` measures, in our words.
const KINDS: [(&str, &str); 3] = [
    ("fresh", "an Extism plugin: create, call, drop"),
    ("pooled", "the same from a pool of instances, as ours are"),
    ("reused", "an Extism plugin that keeps its memory between calls"),
];

pub(crate) fn measure(program: &Path, ours: Duration) -> Result<()> {
    let output = Command::new(program).output().context("the peer does not start")?;
    ensure!(output.status.success(), "the peer fails: {}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    for (kind, words) in KINDS {
        let Spread { median, p99 } = read(&figures[kind]).with_context(|| format!("no figures of `{kind}`"))?;
        line(words, &format!("{median:.1?}  p99 {p99:.1?}  ours is {} of it", ratio(ours, median)));
    }
    Ok(())
}

fn read(figures: &Value) -> Option<Spread> {
    let nanos = |name: &str| figures[name].as_u64().map(Duration::from_nanos);
    Some(Spread { median: nanos("p50")?, p99: nanos("p99")? })
}
