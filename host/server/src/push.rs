//! From a finished push to registered codesets (S48, S123, S130).

use crate::app::App;
use fuseml_contents::Repositories;
use fuseml_domain::{
    Address, Attributes, Descriptor, Error, ErrorKind, Kind, Location, Name, Origin, Result, Store, port::Catalog as _,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Refuses a push to a codeset that follows an outside repository.
///
/// # Errors
/// `conflict`, saying where to push.
pub(crate) async fn check_not_followed(app: &App, project: &Name, name: &Name) -> Result<()> {
    let Some((import, _)) = app.catalog.import(project, name).await? else { return Ok(()) };
    let message = format!(
        "{project}/{name} follows {}: push there, or end that with `fuseml codeset import --end {name}`",
        import.url
    );
    Err(Error::conflict("import", message))
}

/// Registers the tip of every branch that is not registered yet, and lets the engine see them. The note that a
/// push was under way goes only afterwards, so a server that dies in between finishes it at its next start.
///
/// Answers how many were new.
pub(crate) async fn register_tips(app: &App, push: i64, project: &Name, name: &Name) -> Result<usize> {
    let new = register(app, project, name).await?;
    app.catalog.end_push(push).await?;
    Ok(new)
}

async fn register(app: &App, project: &Name, name: &Name) -> Result<usize> {
    let new = app.catalog.register(&unregistered_tips(app, project, name).await?).await?;
    if new > 0 {
        tracing::info!(%project, codeset = %name, new, "codesets registered");
        app.engine.wake();
    }
    Ok(new)
}

/// Descriptors of the tips of branches that are no artifacts yet.
pub(crate) async fn unregistered_tips(app: &App, project: &Name, name: &Name) -> Result<Vec<Descriptor>> {
    let mut tips = Vec::new();
    for (reference, commit) in app.repositories.branches(project, name).await? {
        if !is_registered(app, project, name, &commit).await? {
            // Once registered, a commit stays whatever happens to its branch.
            app.repositories.retain(project, name, &commit).await?;
            tips.push(describe(&app.repositories, project, name, &reference, &commit).await?);
        }
    }
    Ok(tips)
}

async fn is_registered(app: &App, project: &Name, name: &Name, commit: &str) -> Result<bool> {
    let address = Address::of_version(Kind::Codeset, project, name, &commit.parse()?);
    match app.catalog.artifact(&address).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// As long as git may go on with a push although its server is gone.
pub(crate) const AFTERWARDS: Duration = Duration::from_secs(30);

/// Pushes of servers that are gone, and when each was seen first.
#[derive(Default)]
pub(crate) struct Unfinished(HashMap<i64, Instant>);

impl Unfinished {
    /// Registers what was pushed to servers that are gone. Notes of it go once git cannot bring more. Answers whether all is
    /// done; one that cannot be finished keeps no other waiting.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) async fn finish(&mut self, app: &App) -> Result<bool> {
        let pending = app.catalog.pending_pushes().await?;
        self.0.retain(|push, _| pending.iter().any(|(id, ..)| id == push));
        for (push, project, name) in &pending {
            let is_late = self.0.entry(*push).or_insert_with(Instant::now).elapsed() >= AFTERWARDS;
            let finished = async {
                if app.repositories.exists(project, name) {
                    register(app, project, name).await?;
                }
                if is_late {
                    app.catalog.end_push(*push).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = finished.await {
                tracing::error!(%project, codeset = %name, %error, "a push could not be finished; trying again");
            }
        }
        Ok(pending.is_empty())
    }
}

/// What a commit of a branch is as an artifact.
pub(crate) async fn describe(
    repositories: &Repositories,
    project: &Name,
    name: &Name,
    reference: &str,
    commit: &str,
) -> Result<Descriptor> {
    let id: Name = commit.parse()?;
    let info = repositories.commit_info(project, name, commit).await?;
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned();
    Ok(Descriptor {
        address: Address::of_version(Kind::Codeset, project, name, &id),
        name: name.clone(),
        location: Location::new("git", format!("{project}/{name}#{commit}")),
        id,
        digest: None,
        created: Timestamp::now(),
        attributes: Attributes::from([
            ("branch".to_owned(), branch.clone()),
            ("author".to_owned(), info.author),
            ("subject".to_owned(), info.subject.clone()),
        ]),
        metrics: BTreeMap::new(),
        labels: Attributes::new(),
        tags: Vec::new(),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: branch, subject: info.subject },
    })
}
