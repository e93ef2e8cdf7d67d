//! Runs as they move, as server-sent events: what is, then whatever is another. Each is whole, so that whoever comes
//! late or again misses nothing.

use super::run::{ActivityQuery, activity_of};
use crate::app::App;
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, KeepAliveStream, Sse},
};
use fuseml_domain::{Address, Digest, Error, Name, Result, Run, port::Catalog as _};
use fuseml_rest::{Answer, Path, Query};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use uuid::Uuid;

/// How long nobody looks without being told: only another server on the same catalog makes this needed.
const IDLE: Duration = Duration::from_secs(2);
/// What happens within this is one event.
const TOGETHER: Duration = Duration::from_millis(20);

type Events = Sse<KeepAliveStream<BoxStream<'static, Result<Event>>>>;

/// What somebody follows.
enum Followed {
    Run { id: Uuid, known: Option<u64> },
    Activity { root: Address, known: Option<String> },
}

struct Following {
    app: Arc<App>,
    moves: Arc<Notify>,
    what: Followed,
    is_over: bool,
}

/// A run until it has ended. `Last-Event-ID` is the revision that is known already.
pub(super) async fn run(
    State(app): State<Arc<App>>,
    Path((project, pipeline, number)): Path<(Name, Name, u64)>,
    headers: HeaderMap,
) -> Answer<Events> {
    app.catalog.check_project(&project).await?;
    let id = app.catalog.run_by_number(&project, &pipeline, number).await?.id;
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let moves = app.engine.moves_of_run(id);
    Ok(Following { app, moves, what: Followed::Run { id, known }, is_over: false }.events())
}

/// All that follows from an artifact, until nothing more does.
pub(super) async fn activity(State(app): State<Arc<App>>, Query(query): Query<ActivityQuery>) -> Answer<Events> {
    let root = app.catalog.artifact(&query.root).await?.address;
    let moves = app.engine.moves_of_root(&root);
    Ok(Following { app, moves, what: Followed::Activity { root, known: None }, is_over: false }.events())
}

impl Following {
    fn events(self) -> Events {
        let told = stream::unfold(self, |mut following| async {
            let event = following.next().await?;
            Some((event, following))
        });
        Sse::new(told.boxed()).keep_alive(KeepAlive::default())
    }

    /// What is another than before, once it is; `None` after the last.
    async fn next(&mut self) -> Option<Result<Event>> {
        let moves = self.moves.clone();
        while !self.is_over {
            // Before the look, so that what moves during it is not missed.
            let moved = moves.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match self.look().await {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
            tokio::select! {
                () = moved => tokio::time::sleep(TOGETHER).await,
                () = tokio::time::sleep(IDLE) => {}
            }
        }
        None
    }

    async fn look(&mut self) -> Result<Option<Event>> {
        match &mut self.what {
            Followed::Run { id, known } => {
                let run = self.app.catalog.run(*id).await?;
                if known.is_some_and(|known| run.revision <= known) && !run.state.ended() {
                    return Ok(None);
                }
                *known = Some(run.revision);
                self.is_over = run.state.ended();
                event("run", run.revision.to_string(), &run).map(Some)
            }
            Followed::Activity { root, known } => {
                let activity = activity_of(&self.app, root).await?;
                let revision = |run: &Run| format!("{}:{}", run.label(), run.revision);
                let revisions: Vec<_> = activity.runs.iter().map(revision).collect();
                let id = format!("{} {} {}", activity.settled, activity.quiet, revisions.join(" "));
                let id = Digest::of(id.as_bytes()).hex()[..16].to_owned();
                if known.as_ref() == Some(&id) {
                    return Ok(None);
                }
                *known = Some(id.clone());
                self.is_over = activity.settled;
                event("activity", id, &activity).map(Some)
            }
        }
    }
}

fn event(name: &str, id: String, data: &impl Serialize) -> Result<Event> {
    let event = Event::default().event(name).id(id);
    event.json_data(data).map_err(|error| Error::internal("event", error.to_string()))
}
