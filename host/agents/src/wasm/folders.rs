//! Where jobs of components lie, with this server and with others that share the folder, and what lies there.

use super::{Inner, WORKLOADS};
use crate::{
    place,
    process::{
        folder::{self, Folder},
        staging,
    },
};
use fuseml_domain::{Error, Result, Workload, WorkloadStatus};
use std::{fs, io, path::Path};

impl Inner {
    /// Where this server runs it.
    pub(super) fn own_folder(&self, key: &str) -> Result<Folder> {
        Folder::of(&self.workloads, key)
    }

    /// Where it lies: with this server, or with another that had it.
    pub(super) fn folder(&self, key: &str) -> Result<Folder> {
        Ok(self.found(key)?.0)
    }

    /// The same, and whether a living other server runs it there.
    pub(super) fn found(&self, key: &str) -> Result<(Folder, bool)> {
        let own = self.own_folder(key)?;
        if self.job(key).is_some() || own.exit().exists() {
            return Ok((own, false));
        }
        let others = self.copies(key)?;
        // What has ended, then what runs, then what was begun and is nobody's.
        let ended = others.iter().find(|(folder, _)| folder.exit().exists());
        let running = || others.iter().find(|(_, runs)| *runs);
        let begun = || others.iter().find(|(folder, _)| !own.spec().exists() && folder.spec().exists());
        Ok(ended.or_else(running).or_else(begun).cloned().map_or((own.clone(), false), |(folder, runs)| {
            let is_over = folder.exit().exists();
            (folder, runs && !is_over)
        }))
    }

    /// Folders of a job with other servers, and whether the server that has the place now began it there: what lay there
    /// before is run by nobody.
    pub(super) fn copies(&self, key: &str) -> Result<Vec<(Folder, bool)>> {
        let failed = |error| Error::io(self.config.root.display(), &error);
        let mut copies = Vec::new();
        for place in self.place.others().map_err(failed)? {
            let folder = Folder::of(&place.join(WORKLOADS), key)?;
            let Ok(begun) = fs::metadata(folder.path()).and_then(|it| it.modified()) else { continue };
            let since = place::taken_since(&place).map_err(failed)?;
            copies.push((folder, since.is_some_and(|since| since <= begun)));
        }
        Ok(copies)
    }

    /// Removes a workload's folder, if there is one, while nothing runs in it.
    pub(super) async fn discard(&self, folder: &Folder) -> Result<()> {
        if !folder.path().exists() {
            return Ok(());
        }
        let failed = |error| Error::io(format!("{} could not be removed", folder.path().display()), &error);
        staging::remove(folder.path().to_owned(), &self.aside).await.map_err(failed)
    }

    /// Removes all but what the workload is.
    pub(super) async fn empty(&self, folder: &Folder) -> Result<()> {
        let failed = |error| Error::io(format!("{} could not be emptied", folder.path().display()), &error);
        match fs::remove_file(folder.log()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        staging::clear(folder, &self.aside).await.map_err(failed)
    }

    pub(super) fn stored(folder: &Folder) -> Result<Option<Workload>> {
        read(folder, &folder.spec())
    }

    pub(super) fn ended(folder: &Folder) -> Result<Option<WorkloadStatus>> {
        read(folder, &folder.exit())
    }
}

fn read<T: serde::de::DeserializeOwned>(folder: &Folder, file: &Path) -> Result<Option<T>> {
    folder::read_json(file)
        .map_err(|error| Error::io(format!("the workload's folder {}", folder.path().display()), &error))
}
