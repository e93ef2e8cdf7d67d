//! Codesets that follow an outside repository (S110): looked at when somebody asks, and regularly.

use crate::{app::App, push};
use fuseml_domain::{CodesetImport, Error, ImportOutcome, Name, Result};
use jiff::Timestamp;
use nix::fcntl::Flock;
use std::{fs::File, time::Duration};

/// Between two looks for what is due.
const TICK: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(15);
const LONGEST_RETRY: Duration = Duration::from_secs(24 * 60 * 60);
/// Looked at in one go; the rest a tick later.
const TOGETHER: u32 = 16;

/// Who follows is told that something is due earlier than it was.
#[derive(Default)]
pub(crate) struct Following {
    news: tokio::sync::Notify,
}

impl Following {
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }
}

/// One look at a codeset or a store at a time, on all servers; the answer is held as long as it takes.
///
/// # Errors
/// `conflict` while somebody looks.
pub(crate) fn turn(app: &App, project: &Name, name: &Name) -> Result<Flock<File>> {
    app.folder
        .try_turn(&format!("look+{project}+{name}"))?
        .ok_or_else(|| Error::conflict("import", format!("{project}/{name} is being looked at already")))
}

/// Makes the codeset what the outside repository is and registers what is new; answers the import as it is then.
///
/// # Errors
/// `not-found` for a codeset that follows nothing. What goes wrong outside is noted in the import and answered too.
pub(crate) async fn follow(app: &App, project: &Name, name: &Name) -> Result<CodesetImport> {
    let (import, secret) =
        app.catalog.import(project, name).await?.ok_or_else(|| {
            Error::not_found("unknown-import", format!("{project}/{name} follows no outside repository"))
        })?;
    let _turn = turn(app, project, name)?;
    let began = Timestamp::now();
    let token = match &secret {
        Some(sealed) => Some(app.registry.vault().open(sealed).await?),
        None => None,
    };
    let fetched = fetch(app, &import, token.as_ref()).await;
    let failures = import.last.as_ref().map_or(0, |last| last.failures);
    let outcome = match &fetched {
        Ok(registered) => ImportOutcome { at: Timestamp::now(), registered: *registered, error: None, failures: 0 },
        Err(error) => ImportOutcome {
            at: Timestamp::now(),
            registered: 0,
            error: Some(error.message.clone()),
            failures: failures.saturating_add(1),
        },
    };
    let after = CodesetImport { last: Some(outcome), ..import.clone() };
    app.catalog.end_look(&import, &after, began).await?;
    fetched.map(|_| after)
}

async fn fetch(app: &App, import: &CodesetImport, token: Option<&fuseml_domain::SecretText>) -> Result<usize> {
    let (project, name) = (&import.project, &import.name);
    app.repositories.create_if_missing(project, name).await?;
    // Noted before, so that a server that dies in between registers what it fetched.
    let noted = app.catalog.begin_push(project, name).await?;
    match app.repositories.follow(import, token).await {
        Ok(()) => push::register_tips(app, noted, project, name).await,
        Err(error) => {
            app.catalog.end_push(noted).await?;
            Err(error)
        }
    }
}

/// After failures later and later, a day at most.
async fn again(app: &App, project: &Name, name: &Name) -> Result<()> {
    let Some((import, _)) = app.catalog.import(project, name).await? else { return Ok(()) };
    let failures = import.last.map_or(1, |last| last.failures).min(12);
    let pause = (RETRY * 2_u32.pow(failures)).min(LONGEST_RETRY);
    app.catalog.look_again(project, name, Timestamp::now().saturating_add(pause).unwrap_or(Timestamp::MAX)).await
}

/// Looks at what is due. Never ends.
pub(crate) async fn follow_all(app: &App) {
    loop {
        match app.catalog.due_imports(Timestamp::now(), TOGETHER).await {
            Ok(due) => {
                let looks = due.iter().map(|(project, name)| async move {
                    let Err(error) = follow(app, project, name).await else { return };
                    tracing::warn!(%project, codeset = %name, %error, "an outside repository could not be fetched");
                    // One that is looked at when a webhook says so is not forgotten for that.
                    if let Err(error) = again(app, project, name).await {
                        tracing::warn!(%project, codeset = %name, %error, "nobody looks at it again");
                    }
                });
                futures::future::join_all(looks).await;
            }
            Err(error) => tracing::warn!(%error, "imports could not be read"),
        }
        tokio::select! {
            () = app.following.news.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}
