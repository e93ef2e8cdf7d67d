//! Images: what runs in one is a process as well, whose command is podman.
//!
//! Podman's own processes and the container's are the supervisor's to end, like all that it starts: there is no daemon
//! that would keep them. The working directory is the container's, too, as `/fuseml`; everything else is the image's.

use super::{folder::Folder, procfs::MARK, spec::Spec};
use fuseml_domain::{Error, Image, Result, Workload, WorkloadKind};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the working directory is in a container.
const WORK: &str = "/fuseml";
/// Where the Python package is for images that look there: what they search by themselves is their own.
const PYTHON: &str = "/fuseml-python";
/// What runs a container, and pulls its image, beside what runs in it.
pub(crate) const PROGRAMS: [&str; 6] = ["podman", "conmon", "runc", "runc:[2:INIT]", "crun", "skopeo"];
/// With this code podman itself failed, not what it runs.
pub(crate) const FAILED: i32 = 125;

/// The registry that this server is.
#[derive(Debug, Clone)]
pub struct OwnRegistry {
    /// Host and port.
    pub address: String,
    pub token: String,
}

/// How to run a workload's image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Container {
    podman: PathBuf,
    name: String,
    reference: String,
    /// Where the password for this server's own registry is, for an image that it keeps.
    login: Option<PathBuf>,
}

impl Container {
    /// # Errors
    /// `invalid` for variables that containers cannot be given, `unsupported` for an image of this server where nobody
    /// said how to reach it.
    pub(crate) fn of(
        workload: &Workload,
        image: &Image,
        podman: PathBuf,
        registry: Option<(&OwnRegistry, &Path)>,
    ) -> Result<Self> {
        if let Some((name, _)) = workload.variables.iter().find(|(_, value)| value.contains(['\n', '\r', '\0'])) {
            let message = format!("the variable {name} has several lines, which a container cannot be given");
            return Err(Error::invalid("variable", message));
        }
        let name = format!("fuseml-{}", workload.key);
        let (reference, login) = match (&image.registry, registry) {
            (Some(_), _) => (image.to_string(), None),
            (None, Some((own, login))) => (format!("{}/{image}", own.address), Some(login.to_owned())),
            (None, None) => {
                let message = format!("{image} is of this server's registry, which this agent does not know");
                return Err(Error::unsupported("image", message));
            }
        };
        Ok(Self { podman, name, reference, login })
    }

    /// Runs it to its end. What is inherited is podman's own environment; the workload's goes through a file.
    pub(crate) fn command(&self, spec: &Spec, folder: &Folder) -> io::Result<Command> {
        let workload = &spec.workload;
        let variables = folder.temporary().join("variables");
        let mut lines = "PYTHONUNBUFFERED=1\nLANG=C.UTF-8\n".to_owned();
        lines.extend(workload.variables.iter().map(|(name, value)| format!("{name}={value}\n")));
        // By this what a killed supervisor leaves is found.
        lines += &format!("{MARK}={}\n", folder.path().display());
        fs::write(&variables, lines)?;
        let mut command = Command::new(&self.podman);
        command.args(["run", "--rm", "--quiet", "--pull", "missing", "--name", &self.name]);
        // As for other processes: services are reached on this machine, and jobs reach what they need.
        command.args(["--network", "host", "--cap-drop", "all", "--security-opt", "no-new-privileges"]);
        // The folder is the server's user's, whom root in a container stands for where podman runs without rights.
        command.args(["--user", "0:0", "--security-opt", "label=disable", "--http-proxy=false"]);
        if let Some(login) = &self.login {
            command.arg("--authfile").arg(login).arg("--tls-verify=false");
        }
        command.arg("--volume").arg(format!("{}:{WORK}", folder.work().display())).args(["--workdir", WORK]);
        command.arg("--volume").arg(format!("{}:{PYTHON}:ro", spec.python.display()));
        command.arg("--env-file").arg(variables);
        if workload.kind == WorkloadKind::Service {
            command.args(["--env", "HOST", "--env", "PORT"]);
        }
        if !workload.command.is_empty() {
            command.arg("--entrypoint").arg(serde_json::to_string(&workload.command)?);
        }
        command.arg(&self.reference).env(MARK, folder.path()).current_dir(folder.path());
        Ok(command)
    }

    /// Removes what podman keeps of one that was killed.
    pub(crate) fn remove(&self) -> Command {
        let mut command = Command::new(&self.podman);
        command.args(["rm", "--force", "--ignore", "--time", "0", &self.name]).current_dir("/");
        command
    }
}

/// Writes down how this server's registry is entered, for podman and the server's user alone.
pub(crate) fn write_login(path: &Path, registry: &OwnRegistry) -> io::Result<()> {
    use base64::Engine as _;
    let password = base64::engine::general_purpose::STANDARD.encode(format!("fuseml:{}", registry.token));
    let login = serde_json::json!({"auths": {&registry.address: {"auth": password}}});
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    io::Write::write_all(&mut file, login.to_string().as_bytes())?;
    fs::rename(new, path)
}
