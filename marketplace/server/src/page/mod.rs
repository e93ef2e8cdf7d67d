//! The catalogue for people: plain HTML made on the server, no scripts, nothing from elsewhere.

mod extension;
mod feed;
mod home;
mod markdown;
mod namespace;

pub(crate) use extension::{extension, version};
pub(crate) use feed::feed;
pub(crate) use home::home;
pub(crate) use namespace::namespace;

use crate::Found;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use fuseml_domain::Error;
use fuseml_rest::Problem;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

pub(crate) async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")],
        include_str!("style.css"),
    )
}

/// A page, or a page that says why there is none.
pub(crate) type Shown = Result<Markup, Missing>;

pub(crate) struct Missing(Error);

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Problem> for Missing {
    fn from(problem: Problem) -> Self {
        Self(problem.error)
    }
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let said = if status.is_server_error() { "Something went wrong here." } else { self.0.message.as_str() };
        (status, frame("Not here", html! { h1 { "Not here" } p { (said) } p { a href="/" { "All extensions" } } }))
            .into_response()
    }
}

fn frame(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · FuseML marketplace" }
                link rel="stylesheet" href="/style.css";
                link rel="alternate" type="application/atom+xml" title="New versions" href="/feed.atom";
            }
            body {
                a.skip href="#content" { "To the content" }
                header { a.brand href="/" { "FuseML marketplace" } nav { a href="/?order=newest" { "New" } " · " a href="/feed.atom" { "Feed" } } }
                main #content { (content) }
                footer { "Every package is signed, checked in a sandbox, and asks before it reaches anything." }
            }
        }
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn cards(found: &[Found]) -> Markup {
    html! {
        ul.cards {
            @for one in found {
                li {
                    h2 {
                        a href={ "/extensions/" (&*one.namespace) "/" (&*one.name) } { (one.title) }
                        @if one.verified { span.badge title="It is made sure who this namespace belongs to" { "verified" } }
                        @if one.deprecated { span.badge.bad { "deprecated" } }
                    }
                    p { (one.description) }
                    p.facts {
                        code { (&*one.namespace) "/" (&*one.name) } " " (one.version) " · " (day(one.updated)) " · "
                        (one.downloads) @if one.downloads == 1 { " download" } @else { " downloads" }
                    }
                }
            }
        }
    }
}
