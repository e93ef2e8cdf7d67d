//! Places below one folder, one for each server that uses it at a time.
//!
//! What a server does in its own memory cannot be looked after by another while it lives, and is anybody's once it is
//! gone: the lock on its place says which.

use crate::process::{folder::Lock, staging};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A place of this server's own; it is free again when this goes.
pub(crate) struct Place {
    root: PathBuf,
    path: PathBuf,
    _lock: Lock,
}

impl Place {
    /// The first that no living server has.
    pub(crate) fn take(root: &Path) -> io::Result<Self> {
        for number in 1_u32.. {
            let path = root.join(number.to_string());
            staging::create_private(&path)?;
            if let Some(lock) = Lock::try_acquire(&path.join(LOCK))? {
                // Written, so that its time is one of the file system's, as that of the folders is which come after it.
                fs::write(path.join(LOCK), std::process::id().to_string())?;
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

const LOCK: &str = "lock";

/// Since when a living server has the place; `None` when none has it.
pub(crate) fn taken_since(place: &Path) -> io::Result<Option<SystemTime>> {
    match Lock::is_held(&place.join(LOCK))? {
        true => fs::metadata(place.join(LOCK))?.modified().map(Some),
        false => Ok(None),
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
        assert!(taken_since(second.path()).expect("taken").is_some());

        let freed = second.path().to_owned();
        drop(second);

        assert_eq!(taken_since(&freed).expect("taken"), None);
        assert_eq!(Place::take(folder.path()).expect("place").path(), freed);
    }
}
