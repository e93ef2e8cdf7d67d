//! What lies idle in memory for each extension.

use crate::{
    figures::{heading, line},
    guest,
    stand::{self, Nothing},
};
use anyhow::Result;
use fuseml_sandbox::Limits;
use std::{path::Path, sync::Arc};

const EXTENSIONS: usize = 50;

/// Of a process, this one without a number; 0 where the system does not say.
pub(crate) fn resident_kib(process: Option<u32>) -> u64 {
    let process = process.map_or_else(|| "self".to_owned(), |process| process.to_string());
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Loaded, called once, then idle: an extension that is installed and not called costs no memory at all.
pub(crate) async fn measure(program: &Path) -> Result<()> {
    heading("Idle memory per extension");
    let cache = tempfile::tempdir()?;
    let sandbox = stand::sandbox(program, cache.path(), Limits::default())?;
    let component = stand::entry(stand::STORE)?;
    let mut guests = Vec::new();
    for n in 0..=EXTENSIONS {
        guests.push(guest::store(&[], &format!(r#"(data (i32.const 50000) "{n}")"#)));
    }
    let mut kept = Vec::new();
    let mut before = 0;
    for (n, bytes) in guests.iter().enumerate() {
        let loaded = sandbox.load(bytes, &component).await?;
        let store = loaded.artifact_store(stand::instance(&format!("i{n}"), stand::rights(&[]), Arc::new(Nothing))?)?;
        store.health().await?;
        kept.push((loaded, store));
        if n == 0 {
            // The first call also starts what all share.
            before = resident_kib(None);
        }
    }
    let after = resident_kib(None);
    line(
        "loaded and called once (small guests)",
        &format!("{} KiB each (goal 100)", after.saturating_sub(before) / EXTENSIONS as u64),
    );
    line("installed and not called yet", "0 KiB: nothing is loaded before the first call");
    drop(kept);
    Ok(())
}
