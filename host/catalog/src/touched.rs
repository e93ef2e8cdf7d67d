//! What one version of an extension had a part in, for when it turns out that it must not have run.

use crate::{
    Catalog, InstalledVersion, all_from_json, failed, from_json,
    run_rows::{RunRow, runs_of, select_runs},
    to_json,
};
use fuseml_domain::{Descriptor, Freeze, Name, Pipeline, Result, Run, port::Service};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// All that it touched, as people name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// What its calls were about, and what the runs with that made: addresses, and what stores call an artifact that
    /// the catalog does not know.
    pub artifacts: BTreeSet<String>,
    /// `<project>/<pipeline>/<number>` of every run that used or made what its calls were about.
    pub runs: BTreeSet<String>,
    /// `<project>/<pipeline>/<service>` of everything served from one of those runs.
    pub services: BTreeSet<String>,
    /// Project and name of those runs' pipelines, and of those that are made from its templates.
    pub pipelines: BTreeSet<(Name, Name)>,
    /// Receipts from before are gone: what it touched then is not known.
    pub known_since: Option<Timestamp>,
}

impl Catalog {
    /// From receipts and lineage. Looks through everything: it is asked when something has gone wrong.
    pub async fn touched_by(&self, version: &InstalledVersion) -> Result<Touched> {
        let mut touched = Touched::default();
        for instance in self.instances_of(&version.manifest.name).await? {
            for subject in self.subjects(&instance.name, version).await? {
                let addresses = self.addresses_of(&instance.name, &subject).await?;
                touched.artifacts.extend(if addresses.is_empty() { vec![subject] } else { addresses });
            }
            touched.known_since = touched.known_since.max(self.receipts_since(&instance.name).await?);
        }
        let mut runs: BTreeMap<String, Run> = BTreeMap::new();
        for artifact in &touched.artifacts {
            let rows: Vec<RunRow> =
                sqlx::query_as(select_runs!("WHERE r.id IN (SELECT run FROM participations WHERE artifact = $1)"))
                    .bind(artifact)
                    .fetch_all(&self.database.pool)
                    .await
                    .map_err(failed)?;
            let found = runs_of(rows)?;
            runs.extend(found.into_iter().map(|run| (format!("{}/{}", run.project, run.label()), run)));
        }
        for run in runs.values() {
            let made: Vec<String> =
                sqlx::query_scalar("SELECT DISTINCT artifact FROM participations WHERE run = $1 AND role = 'made'")
                    .bind(run.id.to_string())
                    .fetch_all(&self.database.pool)
                    .await
                    .map_err(failed)?;
            touched.artifacts.extend(made);
        }
        touched.pipelines.extend(runs.values().map(|run| (run.project.clone(), run.pipeline.clone())));
        touched.services = self.services_of(&runs).await?;
        touched.runs = runs.into_keys().collect();
        let of_template = |pipeline: &Pipeline| version.templates.iter().any(|own| own.name == pipeline.template.name);
        let own = self.all_pipelines().await?.into_iter().filter(of_template);
        touched.pipelines.extend(own.map(|pipeline| (pipeline.project, pipeline.name)));
        Ok(touched)
    }

    /// What the receipts of its components name.
    async fn subjects(&self, instance: &Name, version: &InstalledVersion) -> Result<BTreeSet<String>> {
        let mut subjects = BTreeSet::new();
        for digest in version.components.values() {
            let found: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT subject FROM calls \
                 WHERE instance = $1 AND subject IS NOT NULL AND digest = $2",
            )
            .bind(&**instance)
            .bind(digest.to_string())
            .fetch_all(&self.database.pool)
            .await
            .map_err(failed)?;
            subjects.extend(found);
        }
        Ok(subjects)
    }

    /// The addresses of what an instance's store calls so.
    async fn addresses_of(&self, instance: &Name, subject: &str) -> Result<Vec<String>> {
        let texts: Vec<String> =
            sqlx::query_scalar("SELECT document FROM artifacts WHERE store_id = $1 AND store_instance = $2")
                .bind(subject)
                .bind(&**instance)
                .fetch_all(&self.database.pool)
                .await
                .map_err(failed)?;
        let found: Vec<Descriptor> = all_from_json(texts)?;
        Ok(found.into_iter().map(|descriptor| descriptor.address.to_string()).collect())
    }

    async fn services_of(&self, runs: &BTreeMap<String, Run>) -> Result<BTreeSet<String>> {
        let texts: Vec<String> =
            sqlx::query_scalar("SELECT document FROM services").fetch_all(&self.database.pool).await.map_err(failed)?;
        let services: Vec<Service> = all_from_json(texts)?;
        let own =
            services.into_iter().filter(|it| runs.contains_key(&format!("{}/{}/{}", it.project, it.pipeline, it.run)));
        Ok(own.map(|it| format!("{}/{}/{}", it.project, it.pipeline, it.name)).collect())
    }

    /// Freezes pipelines; answers those that were not frozen for that cause before.
    pub async fn freeze<'a>(
        &self,
        pipelines: impl IntoIterator<Item = &'a (Name, Name)>,
        freeze: &Freeze,
    ) -> Result<Vec<(Name, Name)>> {
        self.change_pipelines(pipelines, |pipeline| pipeline.freeze(freeze.clone())).await
    }

    /// A person lets one pipeline start again, whatever froze it.
    pub async fn thaw(&self, project: &Name, name: &Name) -> Result<Vec<(Name, Name)>> {
        let one = (project.clone(), name.clone());
        self.change_pipelines([&one], |pipeline| pipeline.thaw(Timestamp::now())).await
    }

    /// That version of an extension freezes nothing any more.
    pub async fn forget_freeze(&self, because_of: &str) -> Result<Vec<(Name, Name)>> {
        let all: Vec<_> = self.all_pipelines().await?.into_iter().map(|it| (it.project, it.name)).collect();
        self.change_pipelines(&all, |pipeline| pipeline.forget_freeze(because_of)).await
    }

    /// The pipelines that do not start because of that version of an extension.
    pub async fn frozen_because_of(&self, because_of: &str) -> Result<BTreeSet<(Name, Name)>> {
        let mut frozen = self.all_pipelines().await?;
        frozen.retain(|pipeline| pipeline.frozen().any(|freeze| freeze.because_of.as_deref() == Some(because_of)));
        Ok(frozen.into_iter().map(|pipeline| (pipeline.project, pipeline.name)).collect())
    }

    async fn all_pipelines(&self) -> Result<Vec<Pipeline>> {
        let mut all = Vec::new();
        for (project, _) in self.projects().await? {
            all.extend(self.pipelines_of(&project.parse()?).await?);
        }
        Ok(all)
    }

    /// In one transaction; answers those that `change` changed.
    async fn change_pipelines<'a>(
        &self,
        pipelines: impl IntoIterator<Item = &'a (Name, Name)>,
        change: impl Fn(&mut Pipeline) -> bool,
    ) -> Result<Vec<(Name, Name)>> {
        let mut transaction = self.database.write().await?;
        let mut changed = Vec::new();
        for (project, name) in pipelines {
            let text: Option<String> =
                sqlx::query_scalar("SELECT document FROM pipelines WHERE project = $1 AND name = $2")
                    .bind(&**project)
                    .bind(&**name)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(failed)?;
            // A run's pipeline may be detached by now.
            let Some(text) = text else { continue };
            let mut pipeline: Pipeline = from_json(&text)?;
            if !change(&mut pipeline) {
                continue;
            }
            sqlx::query("UPDATE pipelines SET document = $1 WHERE project = $2 AND name = $3")
                .bind(to_json(&pipeline)?)
                .bind(&**project)
                .bind(&**name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            changed.push((project.clone(), name.clone()));
        }
        transaction.commit().await.map_err(failed)?;
        Ok(changed)
    }
}
