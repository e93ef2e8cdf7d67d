//! Where an artifact comes from and what came of it.

use crate::{
    CallRecord, Catalog, all_from_json, failed,
    run_rows::{runs_of, select_runs},
};
use fuseml_database::Sql;
use fuseml_domain::{Address, Descriptor, Name, Result, Run, Store};
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
    /// There is more than the edges say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// The runs that the edges name.
    pub runs: Vec<Run>,
    /// What extensions did for the artifacts that the edges name.
    #[serde(default)]
    pub calls: Vec<LineageCalls>,
}

/// The most steps walked in one direction: a person reads no more.
const MOST_STEPS: usize = 1000;
/// Receipts looked at for all artifacts together, the newest first.
const MOST_CALLS: i64 = 5_000;
/// Values in one statement.
const AT_ONCE: usize = 400;

/// A step of a run.
type Step = (String, String);
/// Run, step, slot, role, artifact.
type Participation = (String, String, String, String, String);

/// One direction of a walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To what something was made from.
    Up,
    /// To what was made of it.
    Down,
}

impl Way {
    /// The parts that an artifact has in the steps that are next, and the one that the artifacts beyond them have. What
    /// took an artifact as its result came after it, and was not what it came from.
    fn roles(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Up => (&["made"], "used"),
            Self::Down => (&["used", "reused"], "made"),
        }
    }
}

/// What a walk found, and whether there was more.
struct Walked {
    edges: Vec<LineageEdge>,
    is_cut: bool,
}

impl Catalog {
    /// The canonical address's ancestors and descendants, so many steps far; all of them if that is not said.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn lineage(&self, address: &Address, depth: Option<u32>) -> Result<Lineage> {
        let depth = depth.map_or(MOST_STEPS, |depth| depth as usize);
        let (up, down) = (self.walk(address, Way::Up, depth).await?, self.walk(address, Way::Down, depth).await?);
        let is_cut = up.is_cut || down.is_cut;
        let mut edges = [up.edges, down.edges].concat();
        edges.sort_by(|a, b| {
            (a.distance, &a.run, &a.step, &b.role, &a.slot).cmp(&(b.distance, &b.run, &b.step, &a.role, &b.slot))
        });
        let ids: BTreeSet<String> = edges.iter().map(|edge| edge.run.clone()).collect();
        let mut runs = Vec::new();
        for ids in chunks(ids) {
            let sql = with_values(select_runs!("WHERE r.id IN "), ids);
            runs.extend(runs_of(sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?)?);
        }
        runs.sort_by_key(|run| run.id);
        let artifacts: BTreeSet<String> = edges.iter().map(|edge| edge.artifact.clone()).collect();
        let calls = self.calls_about(&artifacts).await?;
        Ok(Lineage { artifact: address.clone(), edges, is_cut, runs, calls })
    }

    /// Level by level: each step is asked for once, however many ways lead there.
    async fn walk(&self, from: &Address, way: Way, depth: usize) -> Result<Walked> {
        let (near, far) = way.roles();
        let mut frontier = BTreeSet::from([from.to_string()]);
        let (mut seen, mut parts): (BTreeSet<String>, Vec<Participation>) = (frontier.clone(), Vec::new());
        let mut distances: BTreeMap<Step, usize> = BTreeMap::new();
        let mut is_cut = false;
        for level in 1.. {
            let steps = self.steps_with(frontier, near).await?;
            let mut new: BTreeSet<Step> = steps.into_iter().filter(|step| !distances.contains_key(step)).collect();
            if level > depth || distances.len() + new.len() > MOST_STEPS {
                is_cut = !new.is_empty();
                let room = if level > depth { 0 } else { MOST_STEPS - distances.len() };
                new = new.into_iter().take(room).collect();
            }
            if new.is_empty() {
                break;
            }
            let found = self.participations_of(&new).await?;
            distances.extend(new.into_iter().map(|step| (step, level)));
            let beyond = found.iter().filter(|(.., role, _)| role == far).map(|(.., artifact)| artifact.clone());
            frontier = beyond.filter(|artifact| seen.insert(artifact.clone())).collect();
            parts.extend(found);
        }
        lengthen(&mut distances, &parts, from, way);
        let sign = if way == Way::Up { -1 } else { 1 };
        let edge = |(run, step, slot, role, artifact): Participation| {
            let place = (run, step);
            let distance = sign * distances.get(&place).copied().unwrap_or_default().cast_signed() as i64;
            LineageEdge { distance, run: place.0, step: place.1, slot, role, artifact }
        };
        Ok(Walked { edges: parts.into_iter().map(edge).collect(), is_cut })
    }

    async fn steps_with(&self, artifacts: BTreeSet<String>, roles: &[&'static str]) -> Result<BTreeSet<Step>> {
        let mut steps = BTreeSet::new();
        for artifacts in chunks(artifacts) {
            let mut sql = with_values("SELECT run, step FROM participations WHERE artifact IN ", artifacts);
            for (at, role) in roles.iter().enumerate() {
                sql.push(if at == 0 { " AND role IN (" } else { ", " }).push_bind(*role);
            }
            sql.push(")");
            let rows: Vec<Step> = sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?;
            steps.extend(rows);
        }
        Ok(steps)
    }

    async fn participations_of(&self, steps: &BTreeSet<Step>) -> Result<Vec<Participation>> {
        let runs: BTreeSet<String> = steps.iter().map(|(run, _)| run.clone()).collect();
        let mut found = Vec::new();
        for runs in chunks(runs) {
            let sql = with_values("SELECT run, step, slot, role, artifact FROM participations WHERE run IN ", runs);
            let rows: Vec<Participation> = sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?;
            found.extend(rows.into_iter().filter(|(run, step, ..)| steps.contains(&(run.clone(), step.clone()))));
        }
        Ok(found)
    }

    /// Receipts name an artifact by its address, or as the store that keeps it does.
    async fn calls_about(&self, artifacts: &BTreeSet<String>) -> Result<Vec<LineageCalls>> {
        let mut subjects: BTreeMap<String, Vec<(Option<Name>, String)>> =
            artifacts.iter().map(|artifact| (artifact.clone(), vec![(None, artifact.clone())])).collect();
        for (artifact, instance, id) in self.kept_in_tools(artifacts).await? {
            subjects.entry(id).or_default().push((Some(instance), artifact));
        }
        let mut found: BTreeMap<(String, String, Name), LineageCalls> = BTreeMap::new();
        for names in chunks(subjects.keys().cloned().collect()) {
            let mut sql = with_values("SELECT document FROM calls WHERE subject IN ", names);
            sql.push(" ORDER BY sequence DESC LIMIT ").push_bind(MOST_CALLS);
            let texts: Vec<String> = sql.scalar().fetch_all(&self.database.pool).await.map_err(failed)?;
            for call in all_from_json::<CallRecord>(texts)? {
                let about = call.subject.as_ref().and_then(|subject| subjects.get(subject)).into_iter().flatten();
                for (instance, artifact) in about {
                    if instance.as_ref().is_none_or(|instance| *instance == call.instance) {
                        let place = (artifact.clone(), call.digest.clone(), call.component.clone());
                        found.entry(place).or_insert_with(|| LineageCalls::of(artifact, &call)).add(&call);
                    }
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Those of the artifacts that lie in extensions' stores: address, instance, the store's own id.
    async fn kept_in_tools(&self, artifacts: &BTreeSet<String>) -> Result<Vec<(String, Name, String)>> {
        let mut found = Vec::new();
        let addresses: Vec<Address> = artifacts.iter().filter_map(|artifact| artifact.parse().ok()).collect();
        for some in addresses.chunks(AT_ONCE / 4) {
            let mut sql = Sql::new("SELECT document FROM artifacts WHERE store_instance IS NOT NULL AND (");
            for (at, address) in some.iter().enumerate() {
                let version = address.version.as_ref().map(ToString::to_string).unwrap_or_default();
                sql.push(if at == 0 { "(project = " } else { " OR (project = " })
                    .push_bind(address.project.to_string());
                sql.push(" AND kind = ").push_bind(address.kind.name());
                sql.push(" AND name = ").push_bind(address.name.to_string());
                sql.push(" AND id = ").push_bind(version).push(")");
            }
            sql.push(")");
            let texts: Vec<String> = sql.scalar().fetch_all(&self.database.pool).await.map_err(failed)?;
            found.extend(all_from_json::<Descriptor>(texts)?.into_iter().filter_map(
                |descriptor| match descriptor.store {
                    Store::Extension { instance, id } => Some((descriptor.address.to_string(), instance, id)),
                    Store::BuiltIn | Store::External | Store::Local => None,
                },
            ));
        }
        Ok(found)
    }
}

impl LineageCalls {
    fn of(artifact: &str, call: &CallRecord) -> Self {
        Self {
            artifact: artifact.to_owned(),
            extension: call.extension.clone(),
            version: call.version.clone(),
            component: call.component.clone(),
            digest: call.digest.clone(),
            calls: 0,
            functions: BTreeSet::new(),
            hosts: BTreeSet::new(),
            refusals: 0,
        }
    }

    fn add(&mut self, call: &CallRecord) {
        self.calls += 1;
        self.functions.insert(call.function.clone());
        self.hosts.extend(call.hosts.iter().cloned());
        self.refusals += call.refusals.len() as u64;
    }
}

/// Makes distances the longest ways instead of the shortest, so that what came first is shown first. A circle, which only
/// damaged data has, ends after as many rounds as there are steps.
fn lengthen(distances: &mut BTreeMap<Step, usize>, parts: &[Participation], from: &Address, way: Way) {
    let (near, far) = way.roles();
    let mut beyond: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
    for (run, step, _, role, artifact) in parts.iter().filter(|(.., artifact)| *artifact != from.to_string()) {
        if role == far {
            beyond.entry(artifact).or_default().push((run.clone(), step.clone()));
        }
    }
    for _ in 0..distances.len() {
        let mut changed = false;
        for (run, step, _, _, artifact) in parts.iter().filter(|(.., role, _)| near.contains(&role.as_str())) {
            let place = (run.clone(), step.clone());
            let longest = beyond.get(artifact.as_str()).into_iter().flatten().filter(|other| **other != place);
            let longest = longest.filter_map(|other| distances.get(other)).max().map_or(0, |distance| distance + 1);
            if let Some(distance) = distances.get_mut(&place).filter(|distance| **distance < longest) {
                *distance = longest;
                changed = true;
            }
        }
        if !changed || distances.values().any(|distance| *distance > MOST_STEPS) {
            break;
        }
    }
}

fn chunks(values: BTreeSet<String>) -> Vec<Vec<String>> {
    let values: Vec<String> = values.into_iter().collect();
    values.chunks(AT_ONCE).map(<[String]>::to_vec).collect()
}

/// A statement that ends in a list of values.
fn with_values(text: &str, values: Vec<String>) -> Sql {
    let mut sql = Sql::new(text);
    for (at, value) in values.into_iter().enumerate() {
        sql.push(if at == 0 { "(" } else { ", " }).push_bind(value);
    }
    sql.push(")");
    sql
}
