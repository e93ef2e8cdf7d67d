//! Chains of steps that do nothing in the tools that teams use for pipelines today, from their own packages.

use crate::{
    chain::slope,
    figures::{heading, line},
};
use anyhow::{Context as _, Result, ensure};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

type Times = Vec<(usize, Duration)>;

/// Below `tools` each peer has an environment of its own; `dvc` is its program.
pub(crate) fn measure(tools: &Path, dvc: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let peers = Peers { tools, scripts, folder: folder.path() };
    heading("Peers: chains of steps that do nothing, in one process");
    show("Prefect, a flow of tasks", &peers.python("prefect", "prefect_chain.py", &[], &[1, 10, 50, 200])?)?;
    show("Dagster, in_process", &peers.python("dagster", "dagster_chain.py", &["in_process"], &[1, 10, 50, 200])?)?;
    show("ZenML, local", &peers.python("zenml", "zenml_chain.py", &[], &[1, 10, 50])?)?;
    heading("Peers: chains of steps that do nothing, a process each");
    show("Dagster, multiprocess", &peers.python("dagster", "dagster_chain.py", &["multiprocess"], &[1, 5])?)?;
    show("Metaflow, run", &peers.metaflow(&[2, 10])?)?;
    show("DVC, repro", &peers.dvc(dvc, &[1, 10, 50])?)
}

fn show(what: &str, times: &[(usize, Duration)]) -> Result<()> {
    let mut text = String::new();
    for (steps, time) in times {
        write!(text, "{steps} steps {time:.1?}, ")?;
    }
    line(what, &format!("{text}a step; all else: {}", slope(times)));
    Ok(())
}

struct Peers<'a> {
    tools: &'a Path,
    scripts: PathBuf,
    folder: &'a Path,
}

impl Peers<'_> {
    /// In a home of its own: nothing of this machine's settings counts, and nothing is left.
    fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("HOME", self.folder).env("DO_NOT_TRACK", "1").env("USERNAME", "bench");
        command.env("PREFECT_LOGGING_LEVEL", "ERROR").env("PREFECT_SERVER_ANALYTICS_ENABLED", "false");
        command.env("ZENML_ANALYTICS_OPT_IN", "false").env("ZENML_LOGGING_VERBOSITY", "ERROR");
        command.env("DAGSTER_HOME", self.folder).env("DAGSTER_DISABLE_TELEMETRY", "1").env("PYTHONPATH", folder);
        command.env("DVC_NO_ANALYTICS", "1").env("METAFLOW_HOME", self.folder).env_remove("PYTHONDONTWRITEBYTECODE");
        command.stderr(Stdio::null()).stdin(Stdio::null());
        command
    }

    /// A script that measures itself: the start of Python and its imports do not count.
    fn python(&self, peer: &str, script: &str, arguments: &[&str], steps: &[usize]) -> Result<Times> {
        let folder = self.folder.join(peer);
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(self.scripts.join(script), folder.join(script))?;
        let python = self.tools.join(peer).join("bin/python");
        let mut command = self.command(python, &folder);
        command.arg(script).args(arguments).args(steps.iter().map(ToString::to_string));
        let output = command.output().with_context(|| format!("{peer} is not installed"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let measured = |line: &str| {
            let (steps, seconds) = line.split_once(' ')?;
            Some((steps.parse().ok()?, Duration::from_secs_f64(seconds.trim().parse().ok()?)))
        };
        let times: Times = text.lines().filter_map(measured).collect();
        ensure!(times.len() == steps.len(), "{peer} measured {} of {} chains: {text}", times.len(), steps.len());
        Ok(times)
    }

    fn metaflow(&self, steps: &[usize]) -> Result<Times> {
        let (python, folder) = (self.tools.join("metaflow/bin/python"), self.folder.join("metaflow"));
        std::fs::create_dir_all(&folder)?;
        let chain = |count: usize| {
            let mut written = self.command(&python, &folder);
            let flow = written.arg(self.scripts.join("metaflow_chain.py")).arg(count.to_string()).output()?.stdout;
            let file = format!("chain{count}.py");
            std::fs::write(folder.join(&file), flow)?;
            timed(self.command(&python, &folder).args([&file, "--quiet", "run"]))
        };
        steps.iter().map(|count| Ok((*count, chain(*count)?))).collect()
    }

    fn dvc(&self, dvc: &Path, steps: &[usize]) -> Result<Times> {
        let chain = |count: usize| {
            let folder = self.folder.join(format!("dvc-{count}"));
            std::fs::create_dir_all(&folder)?;
            let mut stages = String::from("stages:\n");
            for number in 0..count {
                write!(stages, "  s{number}:\n    cmd: touch o{number}\n    outs: [o{number}]\n")?;
                if number > 0 {
                    writeln!(stages, "    deps: [o{}]", number - 1)?;
                }
            }
            std::fs::write(folder.join("dvc.yaml"), stages)?;
            timed(self.command(dvc, &folder).args(["init", "--no-scm", "--quiet"]))?;
            timed(self.command(dvc, &folder).args(["repro", "--quiet"]))
        };
        steps.iter().map(|count| Ok((*count, chain(*count)?))).collect()
    }
}

/// A chain in DVC that each time makes a file: the first time, unchanged, and with its cache gone; whether it
/// notices.
pub(crate) fn again(dvc: &Path, steps: usize) -> Result<(Duration, Duration, String)> {
    let folder = tempfile::tempdir()?;
    let peers = Peers { tools: folder.path(), scripts: PathBuf::new(), folder: folder.path() };
    let first = peers.dvc(dvc, &[steps])?.first().map(|(_, time)| *time).unwrap_or_default();
    let place = folder.path().join(format!("dvc-{steps}"));
    let repro = || timed(peers.command(dvc, &place).args(["repro", "--quiet"]));
    let unchanged = repro()?;
    let cache = place.join(".dvc/cache/files/md5");
    std::fs::remove_dir_all(&cache).with_context(|| format!("DVC has no cache at {}", cache.display()))?;
    let gone = repro()?;
    let noticed = if cache.exists() { "its cache is filled again" } else { "it does not notice" };
    Ok((first, unchanged, format!("{gone:.2?} ({noticed})")))
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(begun.elapsed())
}
