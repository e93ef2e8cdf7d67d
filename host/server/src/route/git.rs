//! Git smart HTTP (S108): any git client pushes and clones with the token as its password.

use crate::{app::App, push};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use fuseml_contents::{GitRequest, GitResponse};
use fuseml_domain::{Error, Name, Result};
use futures::TryStreamExt as _;
use std::sync::Arc;

pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Path((project, name, service)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    // A task of its own: a push whose client goes away is still carried through to the registration.
    let answer = tokio::spawn(async move { answer(&app, &project, &name, service, request).await });
    match answer.await.unwrap_or_else(|error| Err(Error::internal("git", error.to_string()))) {
        Ok(response) => response,
        // Git shows a plain text to its user; a problem document it would not.
        Err(error) => {
            let status = fuseml_rest::status(error.kind);
            (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{error}\n")).into_response()
        }
    }
}

async fn answer(app: &Arc<App>, project: &str, name: &str, service: String, request: Request) -> Result<Response> {
    let project: Name = project.parse()?;
    let name: Name = name.strip_suffix(".git").unwrap_or(name).parse()?;
    app.catalog.check_project(&project).await?;
    let pushes = service == "git-receive-pack"
        || request.uri().query().is_some_and(|query| query.contains("service=git-receive-pack"));
    if pushes {
        push::check_not_followed(app, &project, &name).await?;
        app.repositories.create_if_missing(&project, &name).await?;
    } else if !app.repositories.exists(&project, &name) {
        return Err(Error::not_found("unknown-codeset", format!("the project {project} has no codeset {name}")));
    }
    let push = match service == "git-receive-pack" {
        true => Some(app.catalog.begin_push(&project, &name).await?),
        false => None,
    };
    let (parts, body) = request.into_parts();
    let text = |name: header::HeaderName| header_text(&parts.headers, name);
    let response = app
        .repositories
        .serve(GitRequest {
            project: project.clone(),
            name: name.clone(),
            service,
            method: parts.method.to_string(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: text(header::CONTENT_TYPE),
            content_encoding: text(header::CONTENT_ENCODING),
            git_protocol: text(header::HeaderName::from_static("git-protocol")),
            body: Box::pin(body.into_data_stream().map_err(std::io::Error::other)),
        })
        .await?;
    if let Some(push) = push {
        return received(app, push, &project, &name, response).await;
    }
    respond(response.status, &response.headers, Body::from_stream(response.body))
}

/// The push is answered only once its commits are registered: what git reports as done is done.
async fn received(app: &App, push: i64, project: &Name, name: &Name, response: GitResponse) -> Result<Response> {
    let parts: Vec<_> = response.body.try_collect().await.map_err(|error| Error::io("the push was cut off", &error))?;
    push::register_tips(app, push, project, name).await?;
    respond(response.status, &response.headers, Body::from(parts.concat()))
}

fn respond(status: u16, headers: &[(String, String)], body: Body) -> Result<Response> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(|error| Error::internal("git", error.to_string()))
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}
