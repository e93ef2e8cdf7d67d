//! What the disk under a measurement takes, whatever is built on it.

use crate::figures::{heading, line, spread};
use anyhow::Result;
use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

const ROUNDS: usize = 200;
/// Bytes: about what one transition of a run writes.
const TRANSITION: usize = 64 * 1024;

/// Of the disk that this folder lies on.
pub(crate) fn measure(folder: &Path) -> Result<()> {
    heading("The disk under it");
    let mut log = File::create(folder.join("raw"))?;
    let durable = times(|_| {
        log.write_all(&[0; TRANSITION])?;
        Ok(log.sync_all()?)
    })?;
    show("64 KiB made durable", durable);
    // Some file systems without a journal look at all that was removed in the last minutes.
    let made = times(|round| Ok(File::create(folder.join(format!("raw-{round}"))).map(drop)?))?;
    show("an empty file made", made);
    Ok(())
}

fn times(mut work: impl FnMut(usize) -> Result<()>) -> Result<Vec<Duration>> {
    let timed = |round| {
        let begun = Instant::now();
        work(round).map(|()| begun.elapsed())
    };
    (0..ROUNDS).map(timed).collect()
}

fn show(what: &str, times: Vec<Duration>) {
    let spread = spread(times);
    line(what, &format!("{:.1?}  p99 {:.1?}", spread.median, spread.p99));
}
