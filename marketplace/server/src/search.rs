//! Finding extensions: by words, and by what they are, take, make and ask for.

use crate::{
    Marketplace, VersionRecord,
    account::time,
    database::failed,
    words::{count_words, ranked, rows, words},
};
use fuseml_database::Sql;
use fuseml_domain::{Capability, Error, Name, Result};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

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
    /// Whether it is made sure who the namespace belongs to.
    pub verified: bool,
    /// Nobody should begin with it any more.
    #[serde(default)]
    pub deprecated: bool,
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

/// Who wants more than so many has to ask more exactly.
const DEEPEST: i64 = 10_000;

impl Marketplace {
    /// A page of what fits.
    pub async fn search(&self, query: &Query) -> Result<Page> {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let offset: i64 = match &query.page_token {
            Some(token) => {
                let offset = token.parse().ok().filter(|offset| (0..DEEPEST).contains(offset));
                offset.ok_or_else(|| Error::invalid("page-token", "this page token was not given out here"))?
            }
            None => 0,
        };
        let mut sql = self.build(query).await?;
        sql.push(" LIMIT ").push_bind(limit + 1).push(" OFFSET ").push_bind(offset);
        let rows = sql.query().fetch_all(&self.database.pool).await.map_err(failed)?;
        let more = rows.len() as i64 > limit && offset + limit < DEEPEST;
        let extensions = rows.iter().take(limit as usize).map(found).collect::<Result<_>>()?;
        Ok(Page { extensions, next_page_token: more.then(|| (offset + limit).to_string()) })
    }
}

/// What a query looks through first: whatever there is least of.
enum Begin {
    /// Words that few extensions have: ranked by how well they fit.
    Rare(String),
    /// Words that many have say little: ranked by use.
    Common(String),
    /// A facet that few have.
    Facet(String),
    /// Everything, in the wanted order.
    All,
}

/// What more extensions have than this is common.
const COMMON: i64 = 2_000;

impl Marketplace {
    /// Whether more than [`COMMON`] rows answer.
    async fn is_common(&self, sql: &'static str, value: &str) -> Result<bool> {
        let count: i64 = sqlx::query_scalar(sql)
            .bind(value)
            .bind(COMMON + 1)
            .fetch_one(&self.database.pool)
            .await
            .map_err(failed)?;
        Ok(count > COMMON)
    }

    async fn begin_with(&self, query: &Query, facets: &[String]) -> Result<Begin> {
        let dialect = self.database.dialect();
        if let Some(words) = words(dialect, &query.q) {
            let is_common = self.is_common(count_words(dialect), &words).await?;
            return Ok(if is_common { Begin::Common(words) } else { Begin::Rare(words) });
        }
        for facet in facets {
            let count = "SELECT COUNT(*) FROM (SELECT 1 FROM facets WHERE facet = $1 LIMIT $2) f";
            if !self.is_common(count, facet).await? {
                return Ok(Begin::Facet(facet.clone()));
            }
        }
        Ok(Begin::All)
    }

    async fn build(&self, query: &Query) -> Result<Sql> {
        let wanted = wanted(query);
        let from = self.begin_with(query, &wanted).await?;
        let dialect = self.database.dialect();
        let mut sql = Sql::new(
            "SELECT e.namespace, e.name, e.latest, e.title, e.description, e.downloads, e.updated, e.deprecated, n.verified FROM ",
        );
        match &from {
            Begin::Rare(words) => {
                ranked(&mut sql, dialect, words);
                sql.push(" w JOIN search_rows r ON r.row = w.row JOIN extensions e ON e.namespace = r.namespace AND e.name = r.name");
            }
            Begin::Common(_) => {
                sql.push("search_rows r JOIN extensions e ON e.namespace = r.namespace AND e.name = r.name");
            }
            Begin::Facet(_) => {
                sql.push("facets d JOIN extensions e ON e.namespace = d.namespace AND e.name = d.name");
            }
            Begin::All => drop(sql.push("extensions e")),
        }
        sql.push(" JOIN namespaces n ON n.name = e.namespace WHERE e.latest <> ''");
        match &from {
            Begin::Common(words) => {
                sql.push(" AND r.row IN ");
                rows(&mut sql, dialect, words);
            }
            Begin::Facet(facet) => drop(sql.push(" AND d.facet = ").push_bind(facet.clone())),
            Begin::Rare(_) | Begin::All => {}
        }
        for facet in wanted {
            facet_condition(&mut sql, "EXISTS", facet);
        }
        for facet in unwanted(query)? {
            facet_condition(&mut sql, "NOT EXISTS", facet);
        }
        if let Some(namespace) = &query.namespace {
            sql.push(" AND e.namespace = ").push_bind(namespace.clone());
        }
        sql.push(" ORDER BY ");
        sql.push(match (query.order, &from) {
            // Who is verified and much used goes before who is not.
            (Order::Relevance, Begin::Rare(_)) => {
                "w.score * (1 + n.verified + e.downloads / (e.downloads + 50.0)) / (1 + 4 * e.deprecated), e.name"
            }
            (Order::Relevance | Order::Downloads, _) => "e.deprecated, e.downloads DESC, e.updated DESC",
            (Order::Newest, _) => "e.updated DESC",
        });
        sql.push(", e.namespace, e.name");
        Ok(sql)
    }
}

fn wanted(query: &Query) -> Vec<String> {
    let wanted = [
        ("input", &query.input),
        ("output", &query.output),
        ("product", &query.product),
        ("category", &query.category),
        ("kind", &query.kind),
        ("world", &query.world),
    ];
    wanted.iter().filter_map(|(facet, value)| value.as_ref().map(|value| format!("{facet}:{value}"))).collect()
}

fn unwanted(query: &Query) -> Result<Vec<String>> {
    let names = query.without.iter().flat_map(|list| list.split(',')).filter(|without| !without.is_empty());
    names
        .map(|without| {
            if without != "internet" && !Capability::ALL.iter().any(|capability| capability.name() == without) {
                let message = format!("`{}` is nothing that can be asked for", without.escape_debug());
                return Err(Error::invalid("capability", message));
            }
            Ok(format!("asks:{without}"))
        })
        .collect()
}

fn facet_condition(sql: &mut Sql, exists: &str, facet: String) {
    sql.push(format!(" AND {exists} (SELECT 1 FROM facets f WHERE f.facet = "))
        .push_bind(facet)
        .push(" AND f.namespace = e.namespace AND f.name = e.name)");
}

fn found(row: &sqlx::any::AnyRow) -> Result<Found> {
    Ok(Found {
        namespace: row.get::<String, _>("namespace").parse()?,
        name: row.get::<String, _>("name").parse()?,
        version: row.get("latest"),
        title: row.get("title"),
        description: row.get("description"),
        downloads: row.get("downloads"),
        updated: time(row.get("updated"))?,
        verified: row.get::<i64, _>("verified") != 0,
        deprecated: row.get::<i64, _>("deprecated") != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fuseml_database::DatabasePlace;
    use fuseml_domain::Manifest;
    use std::collections::BTreeSet;

    const MANIFEST: &str = "schema_version = 1\nname = \"tool\"\nversion = \"0.1.0\"\ntitle = \"T\"\ndescription = \"D\"\nlicense = \"MIT\"\n";

    /// So many that some words and facets are common and others rare.
    async fn filled(folder: &std::path::Path, database: Option<DatabasePlace>) -> Marketplace {
        let manifest = Manifest::parse(MANIFEST).expect("manifest");
        let config = crate::MarketplaceConfig {
            database,
            ..crate::MarketplaceConfig::new(folder.to_owned(), Default::default())
        };
        crate::fill::fill(&config, &manifest, 2_500).await.expect("filled");
        Marketplace::open_beside(&config).await.expect("marketplace")
    }

    /// Everything that is found, page after page.
    async fn all(market: &Marketplace, query: Query) -> Vec<Found> {
        let (mut found, mut page_token) = (Vec::new(), None);
        loop {
            let page = market.search(&Query { limit: Some(100), page_token, ..query.clone() }).await.expect("page");
            found.extend(page.extensions);
            page_token = page.next_page_token;
            if page_token.is_none() {
                return found;
            }
        }
    }

    #[tokio::test]
    async fn what_is_found_is_what_fits_however_many_there_are() {
        for database in [None, Some(fuseml_database::testing::postgres().await)] {
            found_is_what_fits(database).await;
        }
    }

    async fn found_is_what_fits(database: Option<DatabasePlace>) {
        let folder = tempfile::tempdir().expect("folder");
        let market = filled(folder.path(), database).await;
        let text = |value: &str| Some(value.to_owned());
        let everything = all(&market, Query::default()).await;
        assert_eq!(everything.len(), 2_500);
        let says = |found: &Found, word: &str| found.description.contains(word) || found.name.contains(word);

        // A word that all have, one that few have, a kind that few take.
        let common = all(&market, Query { q: "brings".to_owned(), ..Query::default() }).await;
        assert_eq!(common.len(), 2_500);
        assert!(common.is_sorted_by_key(|found| std::cmp::Reverse(found.downloads)), "by use");
        let rare = all(&market, Query { q: "vector".to_owned(), ..Query::default() }).await;
        let expected: BTreeSet<&Name> = everything.iter().filter(|it| says(it, "vector")).map(|it| &it.name).collect();
        assert_eq!(rare.iter().map(|it| &it.name).collect::<BTreeSet<_>>(), expected);
        assert!(expected.len() > 100 && expected.len() < 1_000);
        assert!(rare[0].name.contains("vector"), "a name weighs most: {}", rare[0].name);
        let facet = all(&market, Query { input: text("vector"), order: Order::Newest, ..Query::default() }).await;
        assert!((100..110).contains(&facet.len()) && facet.is_sorted_by(|a, b| a.updated >= b.updated));

        let both = Query { q: "vector".to_owned(), input: text("vector"), ..Query::default() };
        let inputs: BTreeSet<&Name> = facet.iter().map(|it| &it.name).collect();
        let both: Vec<Found> = all(&market, both).await;
        assert_eq!(both.iter().map(|it| &it.name).collect::<BTreeSet<_>>(), &inputs & &expected);
        assert_eq!(all(&market, Query { input: text("nothing"), ..Query::default() }).await, Vec::new());
        assert_eq!(all(&market, Query { q: "\"; DROP".to_owned(), ..Query::default() }).await, Vec::new());
    }
}
