//! A namespace: what is in it, and whose keys sign there.

use super::{Shown, cards, day, frame};
use crate::{About, Marketplace, Query};
use axum::extract::{Path, State};
use fuseml_domain::Name;
use fuseml_marketplace::KeyState;
use maud::html;
use std::sync::Arc;

/// What proved who it is, for a badge.
pub(super) fn proved(about: &About) -> Option<String> {
    about.verified_by.as_ref().map(|by| format!("Verified by {by}"))
}

pub(crate) async fn namespace(State(market): State<Arc<Marketplace>>, Path(name): Path<String>) -> Shown {
    let name: Name = name.parse()?;
    let view = market.namespace(&name).await?;
    let query = Query { namespace: Some(name.to_string()), limit: Some(100), ..Query::default() };
    let found = market.search(&query).await?.extensions;
    Ok(frame(
        &name,
        html! {
            h1 { (&*name) @if view.about.verified { span.badge title=[proved(&view.about)] { "verified" } } }
            p.lead {
                "Since " (day(view.created)) "."
                @for address in [&view.about.repository, &view.about.website].into_iter().flatten() {
                    " " a href=(address) rel="nofollow noreferrer" { (address) }
                }
            }
            (cards(&found))
            h2 { "Members" }
            p { (view.members.iter().filter(|member| member.accepted).map(|member| member.account.to_string()).collect::<Vec<_>>().join(", ")) }
            h2 { "Keys" }
            table {
                thead { tr { th { "Key" } th { "State" } th { "Added" } } }
                tbody {
                    @for key in &view.keys {
                        tr {
                            td { code { (key.key.id()) } }
                            td { (match key.state { KeyState::Active => "active", KeyState::Retired => "retired", KeyState::Revoked => "revoked" }) }
                            td { (day(key.added)) }
                        }
                    }
                }
            }
        },
    ))
}
