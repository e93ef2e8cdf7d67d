//! One extension: what it is, what it asks for, what was found about it.

use super::{Shown, day, frame, markdown::markdown};
use crate::{Marketplace, VersionRecord, api::records, database::failed};
use axum::extract::{Path, State};
use fuseml_domain::{Attributes, Capability, Error, Name};
use fuseml_marketplace::Status;
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

type Market = State<Arc<Marketplace>>;

pub(crate) async fn extension(State(market): Market, Path((namespace, name)): Path<(String, String)>) -> Shown {
    let (namespace, name): (Name, Name) = (namespace.parse()?, name.parse()?);
    let records = records(&market, &namespace, &name).await?;
    let available = records.iter().filter(|record| record.published.status == Status::Available);
    let latest = available.max_by_key(|record| (record.published.version.pre.is_empty(), &record.published.version));
    let record = latest.or(records.last()).ok_or_else(|| Error::internal("page", "no version"))?;
    show(&market, &namespace, record, &records).await
}

pub(crate) async fn version(
    State(market): Market,
    Path((namespace, name, version)): Path<(String, String, String)>,
) -> Shown {
    let (namespace, name): (Name, Name) = (namespace.parse()?, name.parse()?);
    let records = records(&market, &namespace, &name).await?;
    let record = records.iter().find(|record| record.published.version.to_string() == version);
    let record = record.ok_or_else(|| {
        Error::not_found("version", format!("There is no {namespace}/{name} {}.", version.escape_debug()))
    })?;
    show(&market, &namespace, record, &records).await
}

async fn show(market: &Marketplace, namespace: &Name, record: &VersionRecord, records: &[VersionRecord]) -> Shown {
    let (manifest, published) = (&record.manifest, &record.published);
    let dependants = dependants(market, namespace, &published.name).await?;
    let mut advisories = market.advisories(namespace, Some(&published.name)).await?;
    advisories.retain(|advisory| advisory.concerns(&published.name, &published.version));
    let about = market.namespace(namespace).await?.about;
    let deprecation = market.deprecation(namespace, &published.name).await?;
    Ok(frame(
        &manifest.title,
        html! {
            h1 {
                (manifest.title)
                (badge(published.status))
                @if about.verified { span.badge title=[super::namespace::proved(&about)] { "verified" } }
            }
            p.lead { (manifest.description) }
            (warning(record))
            @if let Some(deprecation) = &deprecation { p.box.bad { "Deprecated: " (deprecation) } }
            @for advisory in &advisories { p.box.bad { "Vulnerable: " (advisory) } }
            div.columns {
                div {
                    h2 { "What it asks for" }
                    (asks(record))
                    h2 { "Install" }
                    pre { "fuseml extension install " (&**namespace) "/" (&*manifest.name) "@" (manifest.version) }
                    p.soft { "Nothing is granted before you were shown it again and agreed." }
                    @if !record.readme.is_empty() { h2 { "Readme" } div.text { (markdown(&record.readme)) } }
                    @if !record.changes.is_empty() { h2 { "Changes" } div.text { (markdown(&record.changes)) } }
                    h2 { "Versions" }
                    (versions(namespace, records))
                }
                aside {
                    h2 { "Facts" }
                    dl {
                        dt { "Namespace" } dd { a href={ "/namespaces/" (&**namespace) } { (&**namespace) } }
                        dt { "Version" } dd { (manifest.version) ", " (day(published.published)) }
                        dt { "Licence" } dd { (manifest.license) }
                        dt { "Adapts" } dd { (&**manifest.product()) }
                        @if let Some(fuseml) = &manifest.fuseml { dt { "FuseML" } dd { (fuseml) } }
                        @for (name, wanted) in &manifest.dependencies { dt { "Needs" } dd { (&**name) " " (wanted) } }
                        @if !dependants.is_empty() { dt { "Needed by" } dd { (dependants.join(", ")) } }
                        @if !record.takes.is_empty() { dt { "Pipelines take" } dd { (join(&record.takes)) } }
                        @if !record.makes.is_empty() { dt { "Pipelines make" } dd { (join(&record.makes)) } }
                        dt { "Package" } dd { code { (published.digest) } }
                        dt { "Signed by" } dd { code { (published.key.short()) } }
                    }
                    h2 { "Checked in the sandbox" }
                    (report(&record.report))
                }
            }
        },
    ))
}

fn join(kinds: &std::collections::BTreeSet<String>) -> String {
    kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn badge(status: Status) -> Markup {
    html! {
        @match status {
            Status::Available => {},
            Status::Yanked => span.badge.warn { "yanked" },
            Status::Revoked => span.badge.bad { "revoked" },
        }
    }
}

fn reason(record: &VersionRecord) -> String {
    record.reason.clone().unwrap_or_default()
}

fn warning(record: &VersionRecord) -> Markup {
    html! {
        @match record.published.status {
            Status::Available => {},
            Status::Yanked => p.box { "This version was yanked: " (reason(record)) " It is not chosen any more; who uses it by its lock file still gets it." },
            Status::Revoked => p.box.bad { "This version was revoked: " (reason(record)) " It runs nowhere." },
        }
    }
}

/// In the words that an admin is shown before anything is granted.
fn asks(record: &VersionRecord) -> Markup {
    let nothing = record.manifest.components.iter().all(|component| component.requests.is_empty());
    html! {
        @if nothing { p { "For nothing: it sees only what it is called with." } }
        @for component in &record.manifest.components {
            @if !component.requests.is_empty() {
                p { strong { (&*component.name) } span.soft { " · " (component.world) } }
                ul.asks {
                    @for request in &component.requests {
                        li {
                            (request.rendering(&Attributes::new()))
                            @if request.capability == Capability::Reveal { span.badge.bad { "strongest right" } }
                            div.soft { "because: " (request.reason) }
                        }
                    }
                }
            }
        }
        @for (name, secret) in &record.manifest.secrets {
            p { "Takes the secret " strong { (name) } ": " (secret.description) "." span.soft { " The host alone sends it." } }
        }
    }
}

fn versions(namespace: &Name, records: &[VersionRecord]) -> Markup {
    html! {
        table {
            thead { tr { th { "Version" } th { "Published" } th { "Status" } } }
            tbody {
                @for record in records.iter().rev() {
                    @let published = &record.published;
                    tr {
                        td { a href={ "/extensions/" (&**namespace) "/" (&*published.name) "/" (published.version) } { (published.version) } }
                        td { (day(published.published)) }
                        td { (published.status.name()) @if record.is_security() { span.badge.warn { "security" } } }
                    }
                }
            }
        }
    }
}

/// What the conformance suite found and measured.
fn report(report: &Value) -> Markup {
    let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    let of =
        |verdict: &str| findings.iter().filter(|it| it.get("verdict").and_then(Value::as_str) == Some(verdict)).count();
    let usage = report.get("usage").and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |usage: &Value, pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    html! {
        dl {
            dt { "Rules kept" } dd { (of("kept")) }
            @if of("broken") > 0 { dt { "Rules broken" } dd { (of("broken")) } }
            @if of("not-judged") > 0 { dt { "Need the real tool to be judged" } dd { (of("not-judged")) } }
            @for one in &usage {
                dt { "Longest call of " (one.get(0).and_then(Value::as_str).unwrap_or_default()) }
                dd { (number(one, "/1/longest_wall/1")) " µs, " (number(one, "/1/most_memory/1") / 1024) " KiB" }
            }
        }
        p.soft { "Signed by the marketplace and kept beside the package." }
    }
}

/// Extensions whose newest version needs this one.
async fn dependants(market: &Marketplace, namespace: &Name, name: &Name) -> fuseml_domain::Result<Vec<String>> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT namespace, name FROM facets WHERE facet = $1 AND NOT (namespace = $2 AND name = $3) ORDER BY 1, 2 LIMIT 50",
    )
    .bind(format!("needs:{}", &**name))
    .bind(&**namespace)
    .bind(&**name)
    .fetch_all(&market.database.pool)
    .await
    .map_err(failed)?;
    Ok(found.into_iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect())
}
