//! Codesets: what there is of them, their history, and where they come from.

use crate::{
    app::App,
    imports, push,
    view::{CodesetView, FollowRequest, LogView, LoggedView},
};
use axum::{body::Body, extract::State, http::StatusCode};
use fuseml_domain::{
    Address, CodesetImport, Descriptor, Error, ErrorKind, Kind, Name, PushPlan, SecretText, port::Catalog as _,
};
use fuseml_rest::{Answer, Json, Path, Query};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::sync::Arc;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;

pub(super) async fn list(State(app): State<Arc<App>>, Path(project): Path<Name>) -> Answer<Json<Vec<Descriptor>>> {
    app.catalog.check_project(&project).await?;
    Ok(Json(app.catalog.current_codesets(&project).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<Json<CodesetView>> {
    app.catalog.check_project(&project).await?;
    let import = app.catalog.import(&project, &name).await?.map(|(import, _)| import);
    let branches = match (app.repositories.branches(&project, &name).await, &import) {
        (Ok(branches), _) => branches,
        (Err(error), Some(_)) if error.kind == ErrorKind::NotFound => Vec::new(),
        (Err(error), _) => return Err(error.into()),
    };
    let address =
        Address { kind: Kind::Codeset, project: project.clone(), name: name.clone(), version: None, tag: None };
    let newest = match app.catalog.artifact(&address).await {
        Ok(newest) => Some(newest),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let branch = |(reference, commit): (String, String)| {
        (reference.strip_prefix("refs/heads/").unwrap_or(&reference).to_owned(), commit)
    };
    let url = format!("{}/git/{project}/{name}.git", app.url);
    Ok(Json(CodesetView { newest, url, branches: branches.into_iter().map(branch).collect(), import }))
}

/// From where, how far back, and how far on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    from: Option<String>,
    limit: Option<u32>,
    page_token: Option<String>,
}

pub(super) async fn log(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<LogQuery>,
) -> Answer<Json<LogView>> {
    app.catalog.check_project(&project).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let unknown = || Error::invalid("page-token", "this page token was not given out here");
    // Where the first page began, so that a push between two pages moves nothing.
    let (from, skipped) = match &query.page_token {
        Some(token) => {
            let (commit, skipped) = token.split_once('.').ok_or_else(unknown)?;
            (Some(commit.to_owned()), skipped.parse().map_err(|_| unknown())?)
        }
        None => (query.from, 0),
    };
    let mut commits = app.repositories.log(&project, &name, from.as_deref(), (skipped, limit + 1)).await?;
    let begin = from.filter(|_| query.page_token.is_some()).or(commits.first().map(|first| first.commit.clone()));
    let more = commits.len() > limit as usize;
    commits.truncate(limit as usize);
    let next = begin.filter(|_| more).map(|begin| format!("{begin}.{}", skipped + limit));
    let ids: Vec<_> = commits.iter().map(|commit| commit.commit.as_str()).collect();
    let registered = app.catalog.registered_commits(&project, &name, &ids).await?;
    let commits = commits.into_iter().map(|commit| {
        let tags = registered.get(&commit.commit).cloned();
        LoggedView { registered: tags.is_some(), tags: tags.unwrap_or_default(), commit }
    });
    Ok(Json(LogView { commits: commits.collect(), next_page_token: next }))
}

/// A commit that is not pushed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    commit: String,
    /// To which it would be pushed.
    branch: String,
}

/// What pushing a commit would start. The body is a git pack of it, without what the codeset has.
pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Query(PlanQuery { commit, branch }): Query<PlanQuery>,
    body: Body,
) -> Answer<Json<PushPlan>> {
    app.catalog.check_project(&project).await?;
    push::check_not_followed(&app, &project, &name).await?;
    let unpushed = app.repositories.unpushed((&project, &name, &commit), body.into_data_stream()).await?;
    let codeset = push::describe(unpushed.repositories(), &project, &name, &branch, &commit).await?;
    Ok(Json(app.engine.plan_push(codeset, Arc::new(unpushed)).await?))
}

/// Follows an outside repository from here on, after a first look that must succeed.
pub(super) async fn import(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
    Json(request): Json<FollowRequest>,
) -> Answer<(StatusCode, Json<CodesetImport>)> {
    app.catalog.check_project(&project).await?;
    let FollowRequest { url, branches, every_seconds, user, token, by } = request;
    let before = app.catalog.import(&project, &name).await?;
    if before.is_none() && app.repositories.exists(&project, &name) {
        let message = format!("{project}/{name} is pushed here already; import it under another name");
        return Err(Error::conflict("import", message).into());
    }
    let every = every_seconds.map(|seconds| SignedDuration::from_secs(i64::from(seconds)));
    let created = Timestamp::now();
    let import = CodesetImport {
        project: project.clone(),
        name: name.clone(),
        url: url.parse().map_err(|error| Error::invalid("import", format!("the address is none: {error}")))?,
        branches,
        every,
        user,
        by,
        created,
        last: None,
    };
    import.check()?;
    let secret = match token {
        Some(token) => Some({
            let vault = app.registry.vault();
            vault.seal_for(&project, &format!("import/{name}"), &SecretText::new(token)).await?
        }),
        None => None,
    };
    app.catalog.put_import(&import, secret.as_ref()).await?;
    match imports::follow(&app, &project, &name).await {
        Ok(import) => Ok((StatusCode::CREATED, Json(import))),
        // What never worked is not kept trying.
        Err(error) => {
            match before {
                Some((import, secret)) => app.catalog.put_import(&import, secret.as_ref()).await?,
                None => {
                    app.catalog.remove_import(&project, &name).await?;
                    app.repositories.remove_empty(&project, &name).await?;
                }
            }
            Err(error.into())
        }
    }
}

pub(super) async fn sync(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<Json<CodesetImport>> {
    Ok(Json(imports::follow(&app, &project, &name).await?))
}

/// People push it from here on.
pub(super) async fn end_import(
    State(app): State<Arc<App>>,
    Path((project, name)): Path<(Name, Name)>,
) -> Answer<StatusCode> {
    app.catalog.remove_import(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
