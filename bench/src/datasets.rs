//! Pushing datasets: many small files and one large one, beside DVC, git, and hashing alone as the floor.

use crate::{
    daemon::{Daemon, output},
    figures::{heading, line, ratio},
};
use anyhow::Result;
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const SMALL_BYTES: usize = 4_000;
const LARGE_BYTES: u64 = 2_000_000_000;
/// A file that was changed so lately is read again by everybody.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure(program: &Path, dvc: &Path) -> Result<()> {
    for count in [10_000, 100_000] {
        heading(&format!("Dataset of {count} files of {SMALL_BYTES} bytes"));
        compare(program, dvc, |folder| many(folder, count), "7/7").await?;
    }
    heading(&format!("Dataset of one file of {LARGE_BYTES} bytes"));
    compare(program, dvc, large, "small").await
}

/// Pushes what `fill` makes, again unchanged, and again with the file `changed` changed.
async fn compare(program: &Path, dvc: &Path, fill: impl Fn(&Path) -> Result<()>, changed: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("d");
    fs::create_dir(&data)?;
    fill(&data)?;
    tokio::time::sleep(SETTLE).await;
    let server = folder.path().join("server");
    let daemon = Daemon::start("/healthz", |port| {
        let mut command = Command::new(program);
        command.args(["server", "start", "--listen", &format!("127.0.0.1:{port}")]).env("FUSEML_DATA", &server);
        Ok(command)
    })
    .await?;
    let fuseml = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env("FUSEML_DATA", &server).env("FUSEML_PROJECT", "bench");
        command.env("XDG_CACHE_HOME", folder.path().join("cache")).current_dir(folder.path());
        run(&mut command)
    };
    fuseml(&["project", "create", "bench"])?;
    for line in ["init --quiet --no-scm", "config core.analytics false", "remote add --quiet --default here ../remote"]
    {
        run(dvc_in(dvc, folder.path()).args(line.split(' ')))?;
    }
    git(folder.path(), &["init", "--quiet", "."])?;
    fs::write(folder.path().join(".gitignore"), "server\ncache\nremote\n.dvc\n*.dvc\n.dvcignore\n")?;
    for round in ["first", "unchanged", "one changed"] {
        if round == "one changed" {
            fs::write(data.join(changed), "changed")?;
            tokio::time::sleep(SETTLE).await;
        }
        let hash = "find d -type f -print0 | xargs -0 -n 200 -P \"$(nproc)\" sha256sum > /dev/null";
        let floor = run(Command::new("sh").args(["-c", hash]).current_dir(folder.path()))?;
        let ours = fuseml(&["dataset", "push", "d", "--name", "d"])?;
        let theirs = run(dvc_in(dvc, folder.path()).args(["add", "--quiet", "d"]))?
            + run(dvc_in(dvc, folder.path()).args(["push", "--quiet"]))?;
        line(&format!("{round}: sha256sum in parallel (the floor)"), &format!("{floor:.2?}"));
        let figures = format!("{ours:.2?}, {} of the floor (goal 1.5x)", ratio(ours, floor));
        line(&format!("{round}: fuseml dataset push"), &figures);
        let figures = format!("{theirs:.2?}, ours {} of it (goal 0.2x)", ratio(ours, theirs));
        line(&format!("{round}: dvc add, dvc push"), &figures);
        let committed = git(folder.path(), &["add", "--all", "d"])?
            + git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message", round])?;
        let figures = format!("{committed:.2?}, ours {} of it", ratio(ours, committed));
        line(&format!("{round}: git add, git commit"), &figures);
    }
    let pulled = fuseml(&["dataset", "pull", "d", "back"])?;
    line("fuseml dataset pull, verified", &format!("{pulled:.2?}"));
    drop(daemon);
    Ok(())
}

fn run(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    output(command)?;
    Ok(begun.elapsed())
}

fn dvc_in(dvc: &Path, folder: &Path) -> Command {
    let mut command = Command::new(dvc);
    command.current_dir(folder).env("DVC_NO_ANALYTICS", "1");
    command
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]);
    run(command.args(arguments).current_dir(folder))
}

/// A hundred files a folder, each with bytes of its own.
pub(crate) fn many(folder: &Path, count: usize) -> Result<()> {
    for number in 0..count {
        let (inner, name) = (folder.join((number / 100).to_string()), (number % 100).to_string());
        if name == "0" {
            fs::create_dir(&inner)?;
        }
        let mut bytes = noise(number as u64);
        bytes.truncate(SMALL_BYTES);
        fs::write(inner.join(name), bytes)?;
    }
    Ok(())
}

/// And a small file beside it, to be changed.
fn large(folder: &Path) -> Result<()> {
    fs::write(folder.join("small"), "small")?;
    let mut file = std::io::BufWriter::new(fs::File::create(folder.join("large"))?);
    let mut left = LARGE_BYTES;
    while left > 0 {
        let bytes = noise(left);
        let some = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&bytes[..some])?;
        left -= some as u64;
    }
    file.flush()?;
    Ok(())
}

/// 64 KiB that do not compress and differ for every seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..(64 << 10) / 8).flat_map(|_| next()).collect()
}
