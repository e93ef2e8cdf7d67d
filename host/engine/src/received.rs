//! From events that came from outside to runs (S130).

use crate::{Engine, Ports, trigger};
use fuseml_domain::{Pipeline, ReceivedEvent, Result, Run, Unstarted};
use std::{collections::BTreeMap, sync::Arc};

/// Works through what came; answers how much that was.
pub(crate) async fn settle_pending(engine: &Arc<Engine>, limit: u32) -> Result<usize> {
    let catalog = &engine.ports.catalog;
    let events = catalog.pending_received(limit).await?;
    for received in &events {
        let (mut runs, mut unstarted) = (Vec::new(), Vec::new());
        for pipeline in catalog.pipelines(&received.project).await? {
            match begin(&engine.ports, &pipeline, received).await? {
                None => {}
                Some(Ok(run)) => runs.push(run),
                Some(Err(reason)) => {
                    tracing::info!(pipeline = %pipeline.name, event = %received.event.event_type, %reason, "not started");
                    unstarted.push(Unstarted { pipeline: pipeline.name, reason });
                }
            }
        }
        engine.take_up(catalog.settle_received(received.sequence, runs, unstarted).await?).await;
        engine.arrived(&received.project).await;
    }
    Ok(events.len())
}

/// The run of a pipeline that such events start, or why it does not start; `None` for one that they do not.
async fn begin(
    ports: &Ports,
    pipeline: &Pipeline,
    received: &ReceivedEvent,
) -> Result<Option<std::result::Result<Run, String>>> {
    let event = &received.event;
    let Some(start) = pipeline.starts.events.as_ref().filter(|start| start.is_met_by(event)) else { return Ok(None) };
    if let Some(freeze) = pipeline.frozen().next() {
        return Ok(Some(Err(format!("it is frozen: {}", freeze.reason))));
    }
    let subject = event.subject.iter().map(|subject| format!(" about {subject}")).collect::<String>();
    let reason = format!("the event {} came from {}{subject}", event.event_type, event.source);
    let run = match start.values_of(event).and_then(|values| pipeline.clone().with(values, BTreeMap::new())) {
        Ok(pipeline) => {
            let like =
                format!("{} {} {}", event.event_type, event.source, event.subject.as_deref().unwrap_or_default());
            trigger::newest(ports, &pipeline, reason).await.map(|run| run.by_itself(&pipeline.starts, &like))
        }
        Err(error) => Err(error),
    };
    Ok(Some(run.map_err(|error| error.message)))
}
