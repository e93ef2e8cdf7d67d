//! Runs that the clock starts (S74). What was missed while no server ran is made up for once.

use crate::{Engine, trigger};
use fuseml_domain::{Pipeline, Result, Run};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};

/// How long nobody looks whether a clock was set or another server added a pipeline.
const LONGEST: Duration = Duration::from_secs(60);

/// Follows all schedules, for ever.
pub(crate) async fn follow(engine: Arc<Engine>) {
    loop {
        let pause = match start_due(&engine).await {
            Ok(next) => next.map_or(LONGEST, |next| {
                let left = next.duration_since(Timestamp::now()) + SignedDuration::from_millis(1);
                Duration::try_from(left).unwrap_or_default().min(LONGEST)
            }),
            Err(error) => {
                tracing::error!(%error, "schedules could not be followed; trying again");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            () = engine.schedules.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Starts what is due; answers when the next one is.
async fn start_due(engine: &Arc<Engine>) -> Result<Option<Timestamp>> {
    let mut next: Option<Timestamp> = None;
    for (pipeline, upto) in engine.ports.catalog.scheduled().await? {
        let Some(schedule) = &pipeline.starts.schedule else { continue };
        let now = Timestamp::now();
        if let Some(due) = schedule.last(now).filter(|due| *due > upto) {
            start(engine, &pipeline, due).await?;
        }
        next = next.into_iter().chain(schedule.next(now)).min();
    }
    Ok(next)
}

async fn start(engine: &Arc<Engine>, pipeline: &Pipeline, due: Timestamp) -> Result<()> {
    let catalog = &engine.ports.catalog;
    let pass = async |reason: &str| {
        tracing::warn!(pipeline = %pipeline.name, project = %pipeline.project, %reason, "not started by its schedule");
        catalog.pass_schedule(&pipeline.project, &pipeline.name, due).await
    };
    if let Some(freeze) = pipeline.frozen().next() {
        return pass(&freeze.reason).await;
    }
    let shown = pipeline.starts.schedule.as_ref().map(|schedule| schedule.shown(due)).unwrap_or_default();
    let reason = format!("it was due at {shown}");
    match trigger::newest(&engine.ports, pipeline, reason).await {
        // Held back by nothing: the clock says when.
        Ok(run) => {
            engine.take_up(catalog.start_scheduled(Run { quota: pipeline.starts.quota, ..run }, due).await?).await
        }
        Err(error) => return pass(&error.message).await,
    }
    Ok(())
}
