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

/// Seconds that one peer may take.
const LONGEST: &str = "900";

/// Steps of the chains, as of ours.
const CHAINS: &[usize] = &[1, 10, 50, 200];

type Times = Vec<(usize, Duration)>;

/// Below `tools` each peer has an environment of its own; `dvc` is its program.
pub(crate) fn measure(tools: &Path, dvc: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let peers = Peers { tools, scripts, folder: folder.path() };
    heading("Peers: chains of steps that do nothing, in one process");
    show("Prefect, a flow of tasks", &peers.python("prefect", "prefect_chain.py", &[], CHAINS)?)?;
    show("Dagster, in_process", &peers.python("dagster", "dagster_chain.py", &["in_process"], CHAINS)?)?;
    show("ZenML, local", &peers.python("zenml", "zenml_chain.py", &[], CHAINS)?)?;
    heading("Peers: chains of steps that do nothing, a process each");
    show("Dagster, multiprocess", &peers.python("dagster", "dagster_chain.py", &["multiprocess"], CHAINS)?)?;
    show("Metaflow, run", &peers.metaflow(&[2, 10, 50, 200])?)?;
    show("DVC, repro", &peers.dvc(dvc, CHAINS)?)
}

fn show(what: &str, times: &[(usize, Duration)]) -> Result<()> {
    let mut text = String::new();
    for (steps, time) in times {
        write!(text, "{steps} steps {time:.1?}, ")?;
    }
    if times.len() < CHAINS.len() {
        write!(text, "then no more, ")?;
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
        command.env("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120");
        command.env("ZENML_ANALYTICS_OPT_IN", "false").env("ZENML_LOGGING_VERBOSITY", "ERROR");
        command.env("DAGSTER_HOME", self.folder).env("DAGSTER_DISABLE_TELEMETRY", "1").env("PYTHONPATH", folder);
        command.env("DVC_NO_ANALYTICS", "1").env("METAFLOW_HOME", self.folder).env_remove("PYTHONDONTWRITEBYTECODE");
        command.stderr(Stdio::null()).stdin(Stdio::null());
        command
    }

    /// A script that measures itself: the start of Python and its imports do not count.
    fn python(&self, peer: &str, script: &str, arguments: &[&str], steps: &[usize]) -> Result<Times> {
        let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
        let text = self.script(peer, script, arguments.iter().copied().chain(steps.iter().map(String::as_str)))?;
        let measured = |line: &str| {
            let (steps, seconds) = line.split_once(' ')?;
            Some((steps.parse().ok()?, Duration::from_secs_f64(seconds.trim().parse().ok()?)))
        };
        let times: Times = text.lines().filter_map(measured).collect();
        ensure!(times.len() > 1, "{peer} measured {} of {} chains: {text}", times.len(), steps.len());
        Ok(times)
    }

    /// What a script prints.
    fn script<'s>(&self, peer: &str, script: &str, arguments: impl Iterator<Item = &'s str>) -> Result<String> {
        let folder = self.folder.join(peer);
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(self.scripts.join(script), folder.join(script))?;
        let python = self.tools.join(peer).join("bin/python");
        ensure!(python.exists(), "{peer} is not installed");
        // One that hangs has not measured the rest.
        let mut command = self.command("timeout", &folder);
        let output = command.arg(LONGEST).arg(python).arg(script).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn metaflow(&self, steps: &[usize]) -> Result<Times> {
        let chain = |count: usize| {
            let (python, folder) = self.flow("metaflow_chain.py", &[count])?;
            timed(self.command(&python, &folder).args(["flow.py", "--quiet", "run"]))
        };
        steps.iter().map(|count| Ok((*count, chain(*count)?))).collect()
    }

    /// Writes a flow of Metaflow by a script; answers its Python and its folder.
    fn flow(&self, script: &str, arguments: &[usize]) -> Result<(PathBuf, PathBuf)> {
        let folder = self.folder.join("metaflow");
        std::fs::create_dir_all(&folder)?;
        let python = self.tools.join("metaflow/bin/python");
        let arguments = arguments.iter().map(ToString::to_string);
        let flow = self.command(&python, &folder).arg(self.scripts.join(script)).args(arguments).output()?.stdout;
        std::fs::write(folder.join("flow.py"), flow)?;
        Ok((python, folder))
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

/// What peers do again of a chain of steps that each make something: unchanged, with one result gone, and where it failed
/// at one step. Of those that keep nothing by themselves only what resumes.
pub(crate) fn again(tools: &Path, dvc: &Path, steps: usize, failing: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let peers = Peers { tools, scripts, folder: folder.path() };
    let counts = [steps, failing].map(|count| count.to_string());
    for (peer, script, what) in [
        ("prefect", "prefect_again.py", "Prefect, tasks with INPUTS as cache policy"),
        ("zenml", "zenml_again.py", "ZenML, its cache on"),
        ("dagster", "dagster_again.py", "Dagster, in_process"),
    ] {
        let text = peers.script(peer, script, counts.iter().map(String::as_str))?;
        let end = if text.lines().any(|line| line.starts_with("resumed ")) { "" } else { ", then no more" };
        line(what, &format!("{}{end}", shown_again(&text)?));
    }
    line("Metaflow, run and resume", &metaflow_again(&peers, steps, failing)?);
    line("DVC, repro", &dvc_again(&peers, dvc, steps, failing)?);
    Ok(())
}

/// Lines of `<what> <seconds> <steps that ran>`.
fn shown_again(text: &str) -> Result<String> {
    let mut shown = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [what, seconds, ran] = words.as_slice() else { continue };
        let time = Duration::from_secs_f64(seconds.parse()?);
        shown.push(format!("{what} {time:.2?} ({ran} ran)"));
    }
    Ok(shown.join(", "))
}

fn metaflow_again(peers: &Peers<'_>, steps: usize, failing: usize) -> Result<String> {
    let (python, folder) = peers.flow("metaflow_again.py", &[steps, failing])?;
    let run = |command: &str| timed(peers.command(&python, &folder).args(["flow.py", "--quiet", command]));
    let first = run("run")?;
    std::fs::write(folder.join("fails"), "")?;
    ensure!(run("run").is_err(), "the flow did not fail");
    std::fs::remove_file(folder.join("fails"))?;
    let resumed = run("resume")?;
    Ok(format!("first {first:.2?}, unchanged: all ran, resumed {resumed:.2?}"))
}

fn dvc_again(peers: &Peers<'_>, dvc: &Path, steps: usize, failing: usize) -> Result<String> {
    let first = peers.dvc(dvc, &[steps])?.first().map(|(_, time)| *time).unwrap_or_default();
    let place = peers.folder.join(format!("dvc-{steps}"));
    let repro = || timed(peers.command(dvc, &place).args(["repro", "--quiet"]));
    let unchanged = repro()?;
    let cache = place.join(".dvc/cache/files/md5");
    std::fs::remove_dir_all(&cache).with_context(|| format!("DVC has no cache at {}", cache.display()))?;
    let gone = repro()?;
    let noticed = if cache.exists() { "filled again" } else { "not noticed" };
    let stages = std::fs::read_to_string(place.join("dvc.yaml"))?;
    let may_fail = stages.replace(&format!("touch o{failing}"), &format!("test ! -e fails && date > o{failing}"));
    std::fs::write(place.join("dvc.yaml"), may_fail.replace("touch o0", "date > o0"))?;
    std::fs::write(place.join("fails"), "")?;
    ensure!(repro().is_err(), "the chain did not fail");
    std::fs::remove_file(place.join("fails"))?;
    let resumed = repro()?;
    Ok(format!(
        "first {first:.2?}, unchanged {unchanged:.2?}, its whole cache gone {gone:.2?} ({noticed}), resumed {resumed:.2?}"
    ))
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(begun.elapsed())
}
