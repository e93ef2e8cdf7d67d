//! Saves what happened to a run: what comes while one transaction is under way, or within moments in which nobody waits, is
//! saved together.

use crate::{
    driver::{Driver, key_of},
    progress::Unsaved,
    service,
};
use fuseml_domain::{
    Action, Error, ErrorKind, Result, StepEvent, Value,
    port::{Change, Mark},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Between two tries to save where the catalog does not answer.
const PAUSE: Duration = Duration::from_secs(1);

impl Driver {
    /// Saves for ever, or until another server holds the run.
    pub(crate) async fn keep_saving(&self) {
        loop {
            let next = self.progress.next().await;
            let Err(error) = self.save(&next).await else { continue };
            if error.code == "lease-lost" {
                self.told.lost.cancel();
                return;
            }
            // The catalog does not answer, or refuses what it should take: nothing is lost, so wait for it to come back.
            let run = self.snapshot().label();
            tracing::error!(%run, %error, "a transition could not be saved; trying again");
            self.progress.cannot_be_saved();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn save(&self, unsaved: &[Arc<Unsaved>]) -> Result<()> {
        let changes: Vec<&Change> = unsaved.iter().map(|unsaved| &unsaved.change).collect();
        match self.engine.ports.catalog.save(&changes).await {
            Ok(()) => {
                self.progress.saved(unsaved.len());
                self.follow_up(unsaved).await;
                Ok(())
            }
            // Only people's commands change a run beside its driver; what happened still stands.
            Err(error) if error.code == "stale-run" => self.rebase(None).await,
            Err(error) if error.code == "lease-lost" || error.kind == ErrorKind::Unavailable => Err(error),
            // Which of them it is shows by itself, and those before it are saved.
            Err(_) if unsaved.len() > 1 => Box::pin(self.save(&unsaved[..1])).await,
            // What is given to somebody cannot be given, such as one label too many: that is the step's failure.
            Err(error) if cannot_be_given(&error, unsaved) => {
                self.rebase(Some(StepEvent::Failed { message: error.message, may_pass: false })).await
            }
            Err(error) => Err(error),
        }
    }

    async fn rebase(&self, instead: Option<StepEvent>) -> Result<()> {
        let stored = self.engine.ports.catalog.run(self.snapshot().id).await?;
        let saved = self.progress.rebase(stored, instead);
        self.follow_up(&saved).await;
        // Other steps may be ready, whether or not this server was told.
        self.told.news.notify_one();
        Ok(())
    }

    /// Removes what nobody needs any more, and lets everybody know what is saved now.
    async fn follow_up(&self, saved: &[Arc<Unsaved>]) {
        self.told.revision.store(self.progress.saved_revision(), Ordering::Relaxed);
        for saved in saved {
            let (run, step) = (&saved.change.run, saved.step());
            let action = run.template.step(&step.name).map(|step| &step.action);
            if saved.event().is_some_and(|event| ends_workload(event, action)) {
                self.removed.remove(&self.engine.ports.agent, key_of(run, step));
            }
            if saved.event().is_some_and(|event| serves(event, action)) {
                service::retire_replaced(&self.engine);
            }
        }
        let comes = |Change { artifacts, released, marks, .. }: &Change| {
            !artifacts.is_empty() || !released.is_empty() || !marks.is_empty()
        };
        if saved.iter().any(|saved| comes(&saved.change)) {
            self.engine.wake();
        }
        if let Some(last) = saved.last() {
            self.engine.moved(&last.change.run);
        }
        for mark in saved.iter().flat_map(|saved| &saved.change.marks) {
            self.point(mark).await;
            self.engine.arrived(mark.artifact.project()).await;
        }
        if self.progress.followed_up() {
            self.told.news.notify_one();
        }
    }

    /// Registries' clients find by its tags what has them in the catalog.
    async fn point(&self, mark: &Mark) {
        for tag in &mark.tags {
            if let Err(error) = self.engine.ports.contents.point(&mark.artifact, tag).await {
                tracing::error!(artifact = %mark.artifact.address, %tag, %error, "a registry's clients do not see a tag");
            }
        }
    }
}

fn cannot_be_given(error: &Error, unsaved: &[Arc<Unsaved>]) -> bool {
    matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound)
        && unsaved.iter().any(|unsaved| !unsaved.change.marks.is_empty())
}

fn serves(event: &StepEvent, action: Option<&Action>) -> bool {
    let has_begun = matches!(event, StepEvent::Succeeded { outputs, .. } if outputs.contains_key("url"));
    has_begun && matches!(action, Some(Action::Serve(_)))
}

/// Nothing more will come of the workload, so that only what it said is of use.
fn ends_workload(event: &StepEvent, action: Option<&Action>) -> bool {
    match event {
        StepEvent::Failed { .. } | StepEvent::Cancelled => true,
        // A service goes on, and what is anonymous lies there until the run has ended.
        StepEvent::Succeeded { outputs, .. } => {
            let is_anonymous = |value: &Value| matches!(value, Value::Anonymous(_));
            !matches!(action, Some(Action::Serve(_))) && !outputs.values().any(is_anonymous)
        }
        _ => false,
    }
}
