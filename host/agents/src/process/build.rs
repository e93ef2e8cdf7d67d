//! Images made of a codeset and a Dockerfile (S46), with podman: built, pushed to this server's registry, and reported.
//!
//! What the Dockerfile runs, runs in podman's build containers with the rights that those have.

use super::{
    container::OwnRegistry,
    folder::{self, Folder},
    procfs::MARK,
    runner::{Runner, Verdict},
    spec::Spec,
    supervisor::Outcome,
};
use fuseml_domain::{Digest, ImageBuild};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// How to build images, and where they go.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImageBuilder {
    podman: PathBuf,
    /// Host and port of this server's registry.
    registry: String,
    /// Where the password for it is.
    login: PathBuf,
}

impl ImageBuilder {
    pub(crate) fn new(podman: PathBuf, registry: &OwnRegistry, login: &Path) -> Self {
        Self { podman, registry: registry.address.clone(), login: login.to_owned() }
    }

    fn command(&self, arguments: &[&str], folder: &Folder) -> Command {
        let mut command = Command::new(&self.podman);
        command.args(arguments).current_dir(folder.path()).env(MARK, folder.path());
        command.env("TMPDIR", folder.temporary());
        command
    }
}

/// Builds the workload's image, pushes it and says where it is.
pub(crate) fn make(
    runner: &mut Runner,
    folder: &Folder,
    spec: &Spec,
    (builder, build): (&ImageBuilder, &ImageBuild),
    until: Instant,
) -> io::Result<Outcome> {
    let dockerfile = folder.temporary().join("Dockerfile");
    fs::write(&dockerfile, &build.dockerfile)?;
    let digest_file = folder.temporary().join("digest");
    let context = folder.work().join(ImageBuild::CONTEXT);
    // A tag that begins so names no version of a runnable: the registry takes the image and registers nothing.
    let tag = format!("sha256-{}", Digest::of(spec.workload.key.as_bytes()).hex());
    let reference = format!("{}/{}:{tag}", builder.registry, build.repository);
    let mut building = builder.command(&["build", "--timestamp", "0", "--tag", &reference, "--file"], folder);
    building.arg(&dockerfile).arg("--authfile").arg(&builder.login).arg("--tls-verify=false").arg(&context);
    let mut pushing = builder.command(&["push", "--quiet", "--tls-verify=false", "--authfile"], folder);
    pushing.arg(&builder.login).arg("--digestfile").arg(&digest_file).arg(&reference);
    // Its layers stay for the next build.
    let untagging = builder.command(&["untag", &reference], folder);
    for (command, what) in [(building, "built"), (pushing, "pushed"), (untagging, "let go")] {
        match runner.run(command, until)? {
            Verdict::Ended(ending) if ending.code() == Some(0) => {}
            Verdict::Ended(ending) => {
                let message = format!("the image could not be {what}: podman {ending}; the log has its reasons");
                return Ok(Outcome::failed(message, ending.code()));
            }
            Verdict::NotStarted(error) => {
                return Ok(Outcome::not_started(&[builder.podman.display().to_string()], &error));
            }
            verdict => return Ok(Outcome::of_job(&verdict, folder, spec)),
        }
    }
    let digest = fs::read_to_string(&digest_file)?;
    let left = folder.work().join(ImageBuild::IMAGE);
    fs::create_dir(&left)?;
    fs::write(left.join("digest"), &digest)?;
    let location = format!("{}@{}", build.repository, digest.trim());
    folder::write_json(&folder.work().join(ImageBuild::REPORT), &json!({"location": location}))?;
    runner.note(&format!("the image is {location}"));
    Ok(Outcome::succeeded())
}
