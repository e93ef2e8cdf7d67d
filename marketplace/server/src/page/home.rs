//! Search.

use super::{Shown, cards, frame};
use crate::{Marketplace, Order, Query};
use axum::extract::{Query as Parameters, State};
use maud::html;
use std::sync::Arc;

pub(crate) async fn home(State(market): State<Arc<Marketplace>>, Parameters(mut query): Parameters<Query>) -> Shown {
    // A form sends what was left empty as well.
    for field in [&mut query.world, &mut query.kind, &mut query.without, &mut query.page_token] {
        field.take_if(|text| text.is_empty());
    }
    let page = market.search(&query).await?;
    let asked = |name: &str| query.without.as_deref() == Some(name);
    let next = page.next_page_token.as_ref().map(|token| {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.append_pair("q", &query.q);
        for (name, value) in [("world", &query.world), ("kind", &query.kind), ("without", &query.without)] {
            if let Some(value) = value {
                next.append_pair(name, value);
            }
        }
        format!("/?{}", next.append_pair("page_token", token).finish())
    });
    Ok(frame(
        "Extensions",
        html! {
            h1 { "Extensions" }
            p.lead { "Adapters for the tools that you use: sandboxed, signed, and shown with everything they ask for." }
            form.search action="/" method="get" role="search" {
                input type="search" name="q" value=(query.q) placeholder="mlflow, model registry, ray …" aria-label="Words";
                select name="world" aria-label="What it does" {
                    option value="" { "anything" }
                    @for (value, words) in [("artifact-store", "keeps artifacts"), ("runtime-agent", "runs workloads"), ("builder", "builds code")] {
                        option value=(value) selected[query.world.as_deref() == Some(value)] { (words) }
                    }
                }
                select name="kind" aria-label="Kind of artifact" {
                    option value="" { "any artifact" }
                    @for kind in ["model", "dataset", "runnable", "codeset"] {
                        option value=(kind) selected[query.kind.as_deref() == Some(kind)] { (kind) "s" }
                    }
                }
                select name="without" aria-label="What it may ask for" {
                    option value="" { "may ask for anything" }
                    option value="internet" selected[asked("internet")] { "only hosts that I set" }
                    option value="http" selected[asked("http")] { "no network at all" }
                    option value="reveal" selected[asked("reveal")] { "never reads secrets" }
                }
                button type="submit" { "Search" }
            }
            @if page.extensions.is_empty() {
                p { "Nothing fits. Try fewer words, or ask for less." }
            } @else {
                p.soft { "Sorted by " (match query.order { Order::Newest => "time", Order::Downloads => "use", Order::Relevance if query.q.is_empty() => "use", Order::Relevance => "relevance" }) "." }
                (cards(&page.extensions))
            }
            @if let Some(next) = next { p { a href=(next) rel="next" { "More" } } }
        },
    ))
}
