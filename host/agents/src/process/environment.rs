//! Python environments, made with uv: packages locked with their hashes, installed. Bytecode is written by the
//! first process that imports, which costs less than compiling every package for a few that are used.
//!
//! Promises: an environment is there whole or counts as absent; two workloads that make the same one at once
//! make it once; what fails leaves nothing behind and uv's own words in the log.
//!
//! An environment is made at its final path, since packages write that path into their scripts and
//! configuration; a marker written last says that it is whole.

use super::{
    folder::{self, Folder, Lock},
    procfs::MARK,
    runner::{Runner, Verdict},
    spec::{Spec, Uv},
    supervisor::Outcome,
};
use fuseml_domain::Environment;
use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// What of the server's environment reaches uv and podman, and only them: where interpreters, indexes, images and
/// certificates are, in the words of uv, of pip, of podman and of the system. `*` at the end: all that begin so.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "CONTAINERS_*",
    "REGISTRY_AUTH_FILE",
    "NETRC",
    "UV_*",
    "PIP_*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// uv does not read pip's variables; these say the same.
const PIP_AS_UV: &[(&str, &str)] =
    &[("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")];

/// Resolving and installing packages before a workload that needs them may take this long.
const MAKING: Duration = Duration::from_secs(30 * 60);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The variables of this process that uv and podman need.
pub(crate) fn passed_on() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed_on))
}

fn is_passed_on(name: &str) -> bool {
    PASSED_ON.iter().any(|rule| match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *rule,
    })
}

/// Makes what a job or service needs and is not there yet: its runnable was registered, not built. `None` when it can
/// start.
pub(crate) fn make_missing(runner: &mut Runner, folder: &Folder, spec: &Spec) -> io::Result<Option<Outcome>> {
    match &spec.workload.environment {
        Some(environment) if !spec.environments.has(&environment.digest) => {
            let outcome = make(runner, folder, spec, MAKING)?;
            Ok(Some(outcome).filter(|outcome| !outcome.is_success()))
        }
        _ => Ok(None),
    }
}

/// Makes the workload's environment unless it is there.
pub(crate) fn make(runner: &mut Runner, folder: &Folder, spec: &Spec, limit: Duration) -> io::Result<Outcome> {
    let (Some(environment), Some(uv)) = (&spec.workload.environment, &spec.uv) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no environment to make, or no uv to make it with"));
    };
    let until = Instant::now() + limit;
    let place = spec.environments.path(&environment.digest);
    let Some(_lock) = wait_for_lock(runner, &spec.environments.lock(&environment.digest), until)? else {
        let verdict = if runner.stop_asked() { Verdict::Stopped } else { Verdict::OutOfTime };
        return Ok(Outcome::of_job(&verdict, folder, spec));
    };
    if spec.environments.has(&environment.digest) {
        runner.note(&format!("environment {} is already here", environment.digest));
        return Ok(Outcome::succeeded());
    }
    // Left by a process that was killed.
    remove(&place)?;
    let outcome = build(runner, folder, spec, (environment, uv), until);
    if matches!(&outcome, Ok(None)) {
        folder::write_json(&spec.environments.marker(&environment.digest), environment)?;
        runner.note(&format!("environment {} is here", environment.digest));
        return Ok(Outcome::succeeded());
    }
    remove(&place)?;
    Ok(outcome?.unwrap_or_else(Outcome::succeeded))
}

/// `None` when all went well.
fn build(
    runner: &mut Runner,
    folder: &Folder,
    spec: &Spec,
    (environment, uv): (&Environment, &Uv),
    until: Instant,
) -> io::Result<Option<Outcome>> {
    let place = spec.environments.path(&environment.digest);
    let wanted = folder.temporary().join("requirements.in");
    fs::write(&wanted, environment.requirements.join("\n") + "\n")?;
    let locked = folder.temporary().join("requirements.txt");
    let python = environment.python.as_deref();
    let steps = [
        [&["venv".as_ref(), "--no-project".as_ref(), place.as_os_str()][..], &python_words(python)].concat(),
        [
            words(&["pip", "compile", "--quiet", "--generate-hashes", "--no-annotate", "--no-header"]),
            vec![
                "--python".as_ref(),
                place.as_os_str(),
                "--output-file".as_ref(),
                locked.as_os_str(),
                wanted.as_os_str(),
            ],
        ]
        .concat(),
        // Compiled here, or the first workloads would spend seconds on it, each for itself.
        [
            words(&["pip", "sync", "--allow-empty-requirements", "--python"]),
            vec![place.as_os_str(), locked.as_os_str()],
        ]
        .concat(),
    ];
    for step in steps {
        let mut command = uv_command(uv, folder);
        command.args(step);
        match runner.run(command, until)? {
            Verdict::Ended(ending) if ending.code() == Some(0) => {}
            Verdict::Ended(ending) => {
                let message = format!("the environment could not be made: uv {ending}; the log has its reasons");
                return Ok(Some(Outcome::failed(message, ending.code())));
            }
            Verdict::NotStarted(error) => {
                return Ok(Some(Outcome::not_started(&[uv.program.display().to_string()], &error)));
            }
            verdict => return Ok(Some(Outcome::of_job(&verdict, folder, spec))),
        }
    }
    fs::copy(locked, place.join("requirements.txt"))?;
    Ok(None)
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

fn python_words(python: Option<&str>) -> Vec<&OsStr> {
    python.map_or_else(Vec::new, |python| words(&["--python", python]))
}

/// In contrast to a workload's command it inherits this process's environment, which is only [`passed_on`].
fn uv_command(uv: &Uv, folder: &Folder) -> Command {
    let mut command = Command::new(&uv.program);
    command.current_dir(folder.work()).env("UV_CACHE_DIR", &uv.cache);
    command.env("UV_NO_PROGRESS", "1").env("NO_COLOR", "1").env("LANG", "C.UTF-8");
    command.env("TMPDIR", folder.temporary()).env(MARK, folder.path());
    for (pip, uv) in PIP_AS_UV {
        if let (Some(value), None) = (env::var_os(pip), env::var_os(uv)) {
            command.env(uv, value);
        }
    }
    command
}

/// `None` when the time is over or this process was asked to end.
fn wait_for_lock(runner: &mut Runner, path: &Path, until: Instant) -> io::Result<Option<Lock>> {
    let mut said = false;
    loop {
        if let Some(lock) = Lock::try_acquire(path)? {
            return Ok(Some(lock));
        }
        if !said {
            runner.note("the same environment is being made; waiting for it");
            said = true;
        }
        runner.turn(until.min(Instant::now() + LOCK_PAUSE), None)?;
        if runner.stop_asked() || Instant::now() >= until {
            return Ok(None);
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_uv_needs_is_passed_on() {
        let passed = ["PATH", "UV_DEFAULT_INDEX", "PIP_CERT", "https_proxy"];
        let kept = ["FUSEML_TOKEN", "PATHS", "AWS_SECRET_ACCESS_KEY", "XUV_A", "UV"];
        assert!(passed.into_iter().all(is_passed_on));
        assert!(!kept.into_iter().any(is_passed_on));
    }
}
