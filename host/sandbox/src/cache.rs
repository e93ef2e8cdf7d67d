//! Compiled code on disk: `<component sha256>-<compatibility>.cwasm` and, beside it, the sha256 of that file.
//!
//! Loading compiled code means running it, so nothing is loaded that this process (or one before it, as the
//! same user) did not put there whole: the folder is closed to others, files appear by rename, and the
//! digest is checked before the code is mapped. Anything that does not check out is compiled again.

use fuseml_domain::{Digest, Error, Result};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

pub(crate) struct Cache {
    directory: PathBuf,
    compatibility: String,
}

impl Cache {
    pub(crate) fn open(directory: &Path, compatibility: String) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o700)))
            .map_err(|error| Error::io(format!("the code cache {}", directory.display()), &error))?;
        Ok(Self { directory: directory.to_owned(), compatibility })
    }

    /// Where the compiled code of this component is, if it is there and whole.
    pub(crate) fn find(&self, component: &Digest) -> Option<PathBuf> {
        let code = self.path(component);
        let expected = fs::read_to_string(sidecar(&code)).ok()?;
        match hash_file(&code) {
            Ok(actual) if actual == expected => Some(code),
            Ok(_) => {
                tracing::warn!("{} is damaged and will be compiled again", code.display());
                None
            }
            Err(_) => None,
        }
    }

    /// A place to write code to before it is put in place.
    pub(crate) fn draft(&self) -> Result<NamedTempFile> {
        NamedTempFile::new_in(&self.directory)
            .map_err(|error| Error::io(format!("the code cache {}", self.directory.display()), &error))
    }

    /// Puts finished code in place: first the file, then the digest that makes it count.
    pub(crate) fn keep(&self, component: &Digest, draft: NamedTempFile) -> Result<PathBuf> {
        let code = self.path(component);
        self.put(&code, draft).map_err(|error| Error::io(format!("the code cache {}", code.display()), &error))?;
        Ok(code)
    }

    fn put(&self, code: &Path, draft: NamedTempFile) -> io::Result<()> {
        let digest = hash_file(draft.path())?;
        let mut side = NamedTempFile::new_in(&self.directory)?;
        side.write_all(digest.as_bytes())?;
        draft.persist(code).map_err(|error| error.error)?;
        side.persist(sidecar(code)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}.cwasm", component.hex(), self.compatibility))
    }
}

fn sidecar(code: &Path) -> PathBuf {
    code.with_extension("cwasm.sha256")
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
