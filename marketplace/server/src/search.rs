//! Finding extensions: by words, and by what they are, take, make and ask for.

use crate::{
    Marketplace, VersionRecord,
    account::time,
    database::{failed, from_json},
};
use fuseml_domain::{Capability, Error, Name, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Row as _, Sqlite};

const PAGE: i64 = 30;
const LONGEST_PAGE: i64 = 100;

/// How results are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By how well the words fit, then by use; by use alone when there are no words.
    #[default]
    Relevance,
    Downloads,
    Newest,
}

/// What is looked for; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Words.
    pub q: String,
    /// `builder`, `artifact-store` or `runtime-agent`.
    pub world: Option<String>,
    /// A kind of artifact that it keeps.
    pub kind: Option<String>,
    pub product: Option<String>,
    pub category: Option<String>,
    pub namespace: Option<String>,
    /// A kind that a template of it takes.
    pub input: Option<String>,
    /// A kind that a template of it makes.
    pub output: Option<String>,
    /// Capabilities that it must not ask for, separated by commas; `internet` for hosts other than those of its settings.
    pub without: Option<String>,
    pub order: Order,
    pub limit: Option<i64>,
    pub page_token: Option<String>,
}

/// One extension that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    pub namespace: Name,
    pub name: Name,
    pub version: String,
    pub title: String,
    pub description: String,
    pub downloads: i64,
    pub updated: Timestamp,
    /// Whether an operator made sure who the namespace belongs to.
    pub verified: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    pub extensions: Vec<Found>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// What of an extension can be searched for.
pub(crate) fn facets(record: &VersionRecord) -> Vec<String> {
    let manifest = &record.manifest;
    let mut facets = vec![format!("product:{}", &**manifest.product())];
    facets.extend(manifest.categories.iter().map(|category| format!("category:{}", &**category)));
    facets.extend(manifest.dependencies.keys().map(|name| format!("needs:{}", &**name)));
    facets.extend(record.takes.iter().map(|kind| format!("input:{kind}")));
    facets.extend(record.makes.iter().map(|kind| format!("output:{kind}")));
    for component in &manifest.components {
        facets.extend(component.world().map(|world| format!("world:{}", world.name())));
        facets.extend(component.kinds.iter().map(|kind| format!("kind:{kind}")));
        for request in &component.requests {
            facets.push(format!("asks:{}", request.capability));
            if request.hosts.iter().any(|host| !host.starts_with("${settings.")) {
                facets.push("asks:internet".to_owned());
            }
        }
    }
    facets
}

impl Marketplace {
    /// A page of what fits.
    pub async fn search(&self, query: &Query) -> Result<Page> {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let offset: i64 = match &query.page_token {
            Some(token) => {
                let offset = token.parse().ok().filter(|offset| (0..10_000).contains(offset));
                offset.ok_or_else(|| Error::invalid("page-token", "this page token was not given out here"))?
            }
            None => 0,
        };
        let mut sql = build(query)?;
        sql.push(" LIMIT ").push_bind(limit + 1).push(" OFFSET ").push_bind(offset);
        let rows = sql.build().fetch_all(&self.database.pool).await.map_err(failed)?;
        let more = rows.len() as i64 > limit;
        let extensions = rows.iter().take(limit as usize).map(found).collect::<Result<_>>()?;
        Ok(Page { extensions, next_page_token: more.then(|| (offset + limit).to_string()) })
    }
}

fn build(query: &Query) -> Result<QueryBuilder<Sqlite>> {
    let words = words(&query.q);
    let mut sql = QueryBuilder::new(
        "SELECT e.namespace, e.name, e.latest, e.title, e.description, e.downloads, e.updated, n.document FROM ",
    );
    match &words {
        Some(words) => {
            sql.push("words w JOIN extensions e ON e.namespace = w.namespace AND e.name = w.name JOIN namespaces n ON n.name = e.namespace WHERE words MATCH ");
            sql.push_bind(words.clone());
            sql.push(" AND e.latest <> ''");
        }
        None => drop(sql.push("extensions e JOIN namespaces n ON n.name = e.namespace WHERE e.latest <> ''")),
    }
    let wanted = [
        ("world", &query.world),
        ("kind", &query.kind),
        ("product", &query.product),
        ("category", &query.category),
        ("input", &query.input),
        ("output", &query.output),
    ];
    for (facet, value) in wanted {
        if let Some(value) = value {
            facet_condition(&mut sql, "EXISTS", format!("{facet}:{value}"));
        }
    }
    for without in query.without.iter().flat_map(|list| list.split(',')).filter(|without| !without.is_empty()) {
        if without != "internet" && !Capability::ALL.iter().any(|capability| capability.name() == without) {
            let message = format!("`{}` is nothing that can be asked for", without.escape_debug());
            return Err(Error::invalid("capability", message));
        }
        facet_condition(&mut sql, "NOT EXISTS", format!("asks:{without}"));
    }
    if let Some(namespace) = &query.namespace {
        sql.push(" AND e.namespace = ").push_bind(namespace.clone());
    }
    sql.push(" ORDER BY ");
    sql.push(match (query.order, words.is_some()) {
        // Names weigh most; who is verified and much used goes before who is not.
        (Order::Relevance, true) => {
            "bm25(words, 4.0, 10.0, 6.0, 3.0, 1.0) * (1 + json_extract(n.document, '$.verified') + e.downloads / (e.downloads + 50.0)), e.name"
        }
        (Order::Relevance | Order::Downloads, _) => "e.downloads DESC, e.updated DESC",
        (Order::Newest, _) => "e.updated DESC",
    });
    sql.push(", e.namespace, e.name");
    Ok(sql)
}

fn facet_condition(sql: &mut QueryBuilder<Sqlite>, exists: &str, facet: String) {
    sql.push(format!(" AND {exists} (SELECT 1 FROM facets f WHERE f.facet = "))
        .push_bind(facet)
        .push(" AND f.namespace = e.namespace AND f.name = e.name)");
}

/// A person's words as a full-text query: each must be there, the last one may be unfinished.
fn words(text: &str) -> Option<String> {
    let words: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(16)
        .map(|word| format!("\"{word}\""))
        .collect();
    (!words.is_empty()).then(|| format!("{}*", words.join(" ")))
}

fn found(row: &sqlx::sqlite::SqliteRow) -> Result<Found> {
    let about: crate::About = from_json(row.get("document"))?;
    Ok(Found {
        namespace: row.get::<String, _>("namespace").parse()?,
        name: row.get::<String, _>("name").parse()?,
        version: row.get("latest"),
        title: row.get("title"),
        description: row.get("description"),
        downloads: row.get("downloads"),
        updated: time(row.get("updated"))?,
        verified: about.verified,
    })
}
