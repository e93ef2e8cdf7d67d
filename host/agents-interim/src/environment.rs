//! Python environments: made by `uv` from a locked list, kept by the digest of what decided them.

use fuseml_domain::{Environment, Error, Result};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The variables of the server that say how packages are reached; an environment job gets these and no others.
pub(crate) const PACKAGE_VARIABLES: [&str; 10] = [
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_INDEX",
    "UV_NATIVE_TLS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Whether the environment is there, whole: it appears by renaming.
pub(crate) fn is_made(path: &Path) -> bool {
    path.join("bin/python").exists()
}

/// One environment on its way.
pub(crate) struct Draft {
    pub(crate) folder: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// Makes the folder beside the target and writes what is wanted into the working directory.
    pub(crate) fn begin(environment: &Environment, target: &Path, work: &Path) -> Result<Self> {
        let folder = target.with_extension(format!("new-{}", std::process::id()));
        let wanted = environment.requirements.join("\n") + "\n";
        fs::write(work.join("requirements.in"), wanted).map_err(|error| Error::io("requirements.in", &error))?;
        Ok(Self { folder, target: target.to_owned() })
    }

    /// What makes it, one command after the other.
    pub(crate) fn commands(&self, uv: &Path, python: Option<&str>) -> Vec<Vec<OsString>> {
        let python_program = self.folder.join("bin/python");
        let lock = self.folder.join("requirements.lock");
        let words = |words: &[&dyn AsRef<std::ffi::OsStr>]| -> Vec<OsString> {
            [uv.as_os_str()]
                .into_iter()
                .chain(words.iter().map(|word| (*word).as_ref()))
                .map(ToOwned::to_owned)
                .collect()
        };
        let mut venv = words(&[&"venv", &"--relocatable", &self.folder]);
        if let Some(python) = python {
            venv.extend(["--python".into(), python.into()]);
        }
        vec![
            venv,
            words(&[
                &"pip",
                &"compile",
                &"--quiet",
                &"--generate-hashes",
                &"--python",
                &python_program,
                &"--output-file",
                &lock,
                &"requirements.in",
            ]),
            words(&[&"pip", &"sync", &"--require-hashes", &"--python", &python_program, &lock]),
        ]
    }

    /// Puts it in its place.
    pub(crate) fn finish(self) -> Result<()> {
        match fs::rename(&self.folder, &self.target) {
            Ok(()) => Ok(()),
            Err(_) if is_made(&self.target) => Ok(()),
            Err(error) => Err(Error::io(self.target.display(), &error)),
        }
    }
}

impl Drop for Draft {
    /// What was not finished leaves nothing.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
