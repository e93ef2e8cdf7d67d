//! Where an artifact comes from and what came of it.

use crate::{CallFilter, Catalog, failed, from_json};
use fuseml_domain::{Address, Descriptor, Name, Result, Run, Store, port::Catalog as _};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An artifact's part in one step of a run, at a distance from the artifact that was asked about: negative up
/// to what it was made from, positive down to what was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEdge {
    pub distance: i64,
    pub run: String,
    pub step: String,
    pub slot: String,
    pub role: String,
    pub artifact: String,
}

/// What one component did for one artifact, from the receipts that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageCalls {
    pub artifact: String,
    pub extension: String,
    pub version: String,
    pub component: Name,
    /// Of the component's bytes.
    pub digest: String,
    pub calls: u64,
    pub functions: BTreeSet<String>,
    /// Every server that was asked.
    pub hosts: BTreeSet<String>,
    pub refusals: u64,
}

/// Everything connected with one artifact through runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    pub artifact: Address,
    pub edges: Vec<LineageEdge>,
    /// The runs that the edges name.
    pub runs: Vec<Run>,
    /// What extensions did for the artifacts that the edges name.
    #[serde(default)]
    pub calls: Vec<LineageCalls>,
}

/// The most runs walked in one direction: a person reads no more, and a cycle in damaged data ends here.
const MOST_RUNS: i64 = 1000;
/// Receipts looked at for one artifact, the newest first.
const MOST_CALLS: u32 = 200;

// Up: from what made the artifact to what those steps used; down: from what used it to what those steps made.
// The distance of a run counts the steps walked.
const UP: &str = "WITH RECURSIVE walk (artifact, run, step, distance) AS (
    SELECT artifact, run, step, -1 FROM participations WHERE artifact = ?1 AND role = 'made'
    UNION
    SELECT made.artifact, made.run, made.step, walk.distance - 1 FROM walk
    JOIN participations used ON used.run = walk.run AND used.step = walk.step AND used.role = 'used'
    JOIN participations made ON made.artifact = used.artifact AND made.role = 'made'
    WHERE walk.distance > -50 LIMIT ?2)
  SELECT walk.distance, p.run, p.step, p.slot, p.role, p.artifact
  FROM (SELECT run, step, min(distance) AS distance FROM walk GROUP BY run, step) walk
  JOIN participations p ON p.run = walk.run AND p.step = walk.step";

const DOWN: &str = "WITH RECURSIVE walk (artifact, run, step, distance) AS (
    SELECT artifact, run, step, 1 FROM participations WHERE artifact = ?1 AND role = 'used'
    UNION
    SELECT used.artifact, used.run, used.step, walk.distance + 1 FROM walk
    JOIN participations made ON made.run = walk.run AND made.step = walk.step AND made.role = 'made'
    JOIN participations used ON used.artifact = made.artifact AND used.role = 'used'
    WHERE walk.distance < 50 LIMIT ?2)
  SELECT walk.distance, p.run, p.step, p.slot, p.role, p.artifact
  FROM (SELECT run, step, max(distance) AS distance FROM walk GROUP BY run, step) walk
  JOIN participations p ON p.run = walk.run AND p.step = walk.step";

impl Catalog {
    /// The canonical address's ancestors and descendants.
    pub async fn lineage(&self, address: &Address) -> Result<Lineage> {
        let mut edges = Vec::new();
        for query in [UP, DOWN] {
            let rows: Vec<(i64, String, String, String, String, String)> = sqlx::query_as(query)
                .bind(address.to_string())
                .bind(MOST_RUNS)
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
            edges.extend(rows.into_iter().map(|(distance, run, step, slot, role, artifact)| LineageEdge {
                distance,
                run,
                step,
                slot,
                role,
                artifact,
            }));
        }
        edges.sort_by(|a, b| {
            (a.distance, &a.run, &a.step, &b.role, &a.slot).cmp(&(b.distance, &b.run, &b.step, &a.role, &b.slot))
        });
        let mut runs = Vec::new();
        let mut ids: Vec<_> = edges.iter().map(|edge| edge.run.clone()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            let text: String = sqlx::query_scalar("SELECT document FROM runs WHERE id = ?")
                .bind(id)
                .fetch_one(&self.pool)
                .await
                .map_err(failed)?;
            runs.push(from_json(&text)?);
        }
        let artifacts: BTreeSet<&String> = edges.iter().map(|edge| &edge.artifact).collect();
        let mut calls = Vec::new();
        for artifact in artifacts {
            calls.extend(self.calls_about(artifact).await?);
        }
        Ok(Lineage { artifact: address.clone(), edges, runs, calls })
    }

    /// Receipts name an artifact by its address, or as the store that keeps it does.
    async fn calls_about(&self, artifact: &str) -> Result<Vec<LineageCalls>> {
        let mut subjects = vec![(None, artifact.to_owned())];
        if let Ok(address) = artifact.parse::<Address>()
            && let Ok(Descriptor { store: Store::Extension { instance, id }, .. }) = self.artifact(&address).await
        {
            subjects.push((Some(instance), id));
        }
        let mut found: BTreeMap<(String, Name), LineageCalls> = BTreeMap::new();
        for (instance, subject) in subjects {
            let filter = CallFilter { instance, subject: Some(subject), limit: MOST_CALLS, ..CallFilter::default() };
            for call in self.calls(&filter).await? {
                let entry =
                    found.entry((call.digest.clone(), call.component.clone())).or_insert_with(|| LineageCalls {
                        artifact: artifact.to_owned(),
                        extension: call.extension,
                        version: call.version,
                        component: call.component,
                        digest: call.digest,
                        calls: 0,
                        functions: BTreeSet::new(),
                        hosts: BTreeSet::new(),
                        refusals: 0,
                    });
                entry.calls += 1;
                entry.functions.insert(call.function);
                entry.hosts.extend(call.hosts);
                entry.refusals += call.refusals.len() as u64;
            }
        }
        Ok(found.into_values().collect())
    }
}
