//! The files of the artifact that the call is about, read-only. A call that is about no artifact has none.

use crate::{
    call::Call,
    limits::{MAX_FILE, MAX_FOUND_FILES},
};
use fuseml_domain::{
    Capability, Error, Result, check_relative_path,
    port::{CodesetFiles, FileEntry},
};
use std::sync::Arc;

impl Call {
    pub(crate) async fn find_files(&mut self, glob: String, after: Option<String>) -> Result<Vec<FileEntry>> {
        let mut found = self.with_files(move |files| files.find(&glob, after.as_deref())).await?;
        found.truncate(MAX_FOUND_FILES);
        Ok(found)
    }

    pub(crate) async fn read_file(&mut self, path: String) -> Result<Vec<u8>> {
        check_relative_path(&path)?;
        let bytes = self
            .with_files({
                let path = path.clone();
                move |files| files.read(&path)
            })
            .await?;
        if bytes.len() > MAX_FILE {
            return Err(Error::invalid(
                "file-too-large",
                format!("{path} has {} bytes; at most {MAX_FILE} can be read", bytes.len()),
            ));
        }
        Ok(bytes)
    }

    /// Reading blocks, so it happens beside the guest's thread, where the wall clock still counts.
    async fn with_files<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&dyn CodesetFiles) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.require(Capability::Files)?;
        let files: Arc<dyn CodesetFiles> = self.files.clone().ok_or_else(|| {
            Error::unsupported("no-files", "this call is about no artifact whose files could be read")
        })?;
        tokio::task::spawn_blocking(move || read(&*files))
            .await
            .map_err(|error| Error::internal("files", format!("reading a file failed: {error}")))?
    }
}
