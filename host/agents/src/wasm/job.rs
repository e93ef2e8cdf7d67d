//! A job of this server's sandbox while it runs.

use crate::process::{
    folder::{self, Folder},
    staging,
};
use fuseml_domain::{Error, Result, Workload, WorkloadStatus};
use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// A job that runs, or whose end is not written down yet.
pub(super) struct Job {
    pub(super) workload: Workload,
    pub(super) stop: CancellationToken,
    ending: watch::Sender<Option<WorkloadStatus>>,
    written: CancellationToken,
    /// Nobody will ask for more than what it printed.
    tidied: CancellationToken,
    /// Held by whoever writes down what it is.
    keeping: Mutex<()>,
}

impl Job {
    pub(super) fn new(workload: Workload) -> Self {
        Self {
            workload,
            stop: CancellationToken::new(),
            ending: watch::Sender::new(None),
            written: CancellationToken::new(),
            tidied: CancellationToken::new(),
            keeping: Mutex::default(),
        }
    }

    /// How it ended; `None` while it runs.
    pub(super) fn status(&self) -> Option<WorkloadStatus> {
        self.ending.borrow().clone()
    }

    pub(super) fn end(&self, status: WorkloadStatus) {
        self.ending.send_replace(Some(status));
    }

    pub(super) async fn ended(&self) {
        // The sender is this value's own, so that it does not go meanwhile.
        let _ = self.ending.subscribe().wait_for(Option::is_some).await;
    }

    /// From here on the folder alone says what became of it.
    pub(super) fn leave(&self) {
        self.written.cancel();
    }

    /// What it made is where it belongs.
    pub(super) fn tidy(&self) {
        self.tidied.cancel();
    }

    /// Whether it is tidied before that time is over.
    pub(super) async fn tidied_within(&self, limit: Duration) -> bool {
        timeout(limit, self.tidied.cancelled()).await.is_ok()
    }

    /// It has ended, and nothing of it touches its folder any more.
    pub(super) async fn written_down(&self) {
        self.written.cancelled().await;
    }

    /// Makes sure that the next server can run it again.
    pub(super) fn keep(&self, folder: &Folder) -> Result<()> {
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.spec().exists() {
            return Ok(());
        }
        staging::create_private(folder.path())
            .and_then(|()| folder::write_json(&folder.spec(), &self.workload))
            .map_err(|error| self.lost(&error))
    }

    /// Writes down how it ended, and first what it is.
    pub(super) fn keep_end(&self, folder: &Folder, status: &WorkloadStatus) -> Result<()> {
        self.keep(folder)?;
        folder::write_json(&folder.exit(), status).map_err(|error| self.lost(&error))
    }

    fn lost(&self, error: &io::Error) -> Error {
        Error::io(format!("{} could not be written down", self.workload.key), error)
    }
}
