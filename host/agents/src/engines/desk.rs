//! What workers ask and hand over. Each presents a token that opens its own workload until that has ended.

use super::{Ending, EnginesAgent, Order, Spec, ended_file, lost, order, read};
use crate::process::folder::{self, Folder};
use fuseml_domain::{Error, Result};
use jiff::Timestamp;
use std::{fs, path::PathBuf};

impl EnginesAgent {
    /// The worker has all that it needs, and its command begins: from now on its time is counted.
    ///
    /// # Errors
    /// As for [`EnginesAgent::order`].
    pub fn begin(&self, key: &str, token: &str) -> Result<()> {
        let (folder, _) = self.opened(key, token)?;
        let began = folder::Started { at: Timestamp::now() };
        folder::write_json(&folder.started(), &began).map_err(|error| lost(key, &error))
    }

    /// What the worker of a workload has to do.
    ///
    /// # Errors
    /// `denied` for a token that does not open this workload, or no longer.
    pub fn order(&self, key: &str, token: &str) -> Result<Order> {
        let (folder, spec) = self.opened(key, token)?;
        Order::of(&spec.workload, &folder)
    }

    /// Where a staged file lies.
    ///
    /// # Errors
    /// As for [`EnginesAgent::order`]; `not-found` for what is no file of an input.
    pub fn input(&self, key: &str, token: &str, name: &str, path: &str) -> Result<PathBuf> {
        let (folder, spec) = self.opened(key, token)?;
        order::input_file(&spec.workload, &folder, name, path)
    }

    /// Where a file goes that is handed over; the folder is there.
    ///
    /// # Errors
    /// As for [`EnginesAgent::order`]; `denied` for what is in no output.
    pub fn output(&self, key: &str, token: &str, path: &str) -> Result<PathBuf> {
        let (folder, spec) = self.opened(key, token)?;
        let file = order::output_file(&spec.workload, &folder, path)?;
        let parent = file.parent().unwrap_or(&file);
        fs::create_dir_all(parent).map_err(|error| Error::io(path, &error))?;
        Ok(file)
    }

    /// The worker's command has ended, and all outputs are handed over. It counts once the engine says that it ended, too.
    ///
    /// # Errors
    /// As for [`EnginesAgent::order`].
    pub fn end(&self, key: &str, token: &str, ending: &Ending) -> Result<()> {
        let (folder, _) = self.opened(key, token)?;
        folder::write_json(&ended_file(&folder), ending).map_err(|error| lost(key, &error))?;
        self.known(key).news.notify_waiters();
        Ok(())
    }

    fn opened(&self, key: &str, token: &str) -> Result<(Folder, Spec)> {
        // One answer for all that does not open, so that nobody learns which keys there are.
        let denied = || Error::denied("work", "this opens no work, or it has ended");
        let folder = self.folder(key).map_err(|_| denied())?;
        let spec: Spec = read(&folder, &folder.spec())?.ok_or_else(denied)?;
        let is_equal: bool = subtle::ConstantTimeEq::ct_eq(spec.token.as_bytes(), token.as_bytes()).into();
        if !is_equal || folder.exit().exists() {
            return Err(denied());
        }
        Ok((folder, spec))
    }
}
