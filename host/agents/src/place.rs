//! Places below one folder, one for each server that uses it at a time.
//!
//! What a server does in its own memory cannot be looked after by another while it lives, and is anybody's once it is
//! gone: the lock on its place says which.

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A place of this server's own; it is free again when this goes.
pub(crate) struct Place {
    root: PathBuf,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// The first that no living server has.
    pub(crate) fn take(root: &Path) -> io::Result<Self> {
        for number in 1_u32.. {
            let path = root.join(number.to_string());
            crate::process::staging::create_private(&path)?;
            if let Some(lock) = lock(&path, FlockArg::LockExclusiveNonblock)? {
                return Ok(Self { root: root.to_owned(), path, _lock: lock });
            }
        }
        Err(io::Error::other("there are too many servers"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The places of others.
    pub(crate) fn others(&self) -> io::Result<Vec<PathBuf>> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let is_place = path.file_name().and_then(|name| name.to_str()).is_some_and(|it| it.parse::<u32>().is_ok());
            if is_place && path != self.path {
                others.push(path);
            }
        }
        others.sort();
        Ok(others)
    }
}

/// Whether a living server has the place.
pub(crate) fn is_taken(place: &Path) -> io::Result<bool> {
    Ok(lock(place, FlockArg::LockSharedNonblock)?.is_none())
}

fn lock(place: &Path, how: FlockArg) -> io::Result<Option<Flock<File>>> {
    let file = File::options().create(true).truncate(false).write(true).open(place.join("lock"))?;
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_living_server_has_a_place_of_its_own_and_a_dead_ones_is_taken_again() {
        let folder = tempfile::tempdir().expect("folder");
        let first = Place::take(folder.path()).expect("place");
        let second = Place::take(folder.path()).expect("place");
        assert_eq!(first.others().expect("others"), [second.path().to_owned()]);
        assert!(is_taken(second.path()).expect("taken"));

        let freed = second.path().to_owned();
        drop(second);

        assert!(!is_taken(&freed).expect("taken"));
        assert_eq!(Place::take(folder.path()).expect("place").path(), freed);
    }
}
