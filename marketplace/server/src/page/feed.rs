//! New versions as an Atom feed.

use super::Missing;
use crate::{
    Marketplace, VersionRecord,
    database::{failed, from_json},
};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use maud::{PreEscaped, html};
use sqlx::Row as _;
use std::sync::Arc;

const ENTRIES: i64 = 50;

pub(crate) async fn feed(State(market): State<Arc<Marketplace>>) -> Result<Response, Missing> {
    let rows = sqlx::query("SELECT namespace, document FROM versions ORDER BY published DESC LIMIT $1")
        .bind(ENTRIES)
        .fetch_all(&market.database.pool)
        .await
        .map_err(failed)?;
    let entries: Vec<(String, VersionRecord)> = rows
        .iter()
        .map(|row| Ok((row.get("namespace"), from_json(row.get("document"))?)))
        .collect::<fuseml_domain::Result<_>>()?;
    let updated = entries.first().map_or(jiff::Timestamp::UNIX_EPOCH, |(_, record)| record.published.published);
    let text = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"))
        feed xmlns="http://www.w3.org/2005/Atom" {
            title { "FuseML marketplace: new versions" }
            id { (market.url) "/feed.atom" }
            updated { (updated) }
            author { name { (market.url) } }
            @for (namespace, record) in &entries {
                @let published = &record.published;
                @let address = format!("{}/extensions/{namespace}/{}/{}", market.url, published.name, published.version);
                entry {
                    title { (namespace) "/" (&*published.name) " " (published.version) }
                    id { (address) }
                    // An empty element is written by hand: the library knows HTML's alone.
                    (PreEscaped(format!("<link href=\"{address}\"/>")))
                    updated { (published.published) }
                    summary { (record.manifest.description) }
                }
            }
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")], text.into_string()).into_response())
}
