//! Signed provenance of what runs made: in-toto statements with SLSA predicates, beside the artifacts in the registry.
//!
//! A run's results are attested after they are registered, in the order of their events; how far that got is kept, so
//! that a server that died goes on there. Whoever asks earlier is answered with one that is made at once.

use crate::{app::App, contents, folder::write_private};
use fuseml_catalog::{Lineage, LineageCalls};
use fuseml_domain::{
    Address, Descriptor, Digest, Error, Kind, Name, Origin, Result, Run, Series, port::ArtifactEvents as _,
};
use fuseml_marketplace::{BUNDLE, Envelope, PublicKey, SigningKey, Statement};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// SLSA's predicate for what a build made.
pub const SLSA: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE: &str = "https://fuseml.github.io/buildtypes/run-step/v1";

/// The key of this server, made at its first start.
pub(crate) struct Provenance {
    key: SigningKey,
    pub(crate) public: PublicKey,
}

impl Provenance {
    /// From the key's file; its public half is written beside it.
    pub(crate) fn open(private: &Path, public: &Path) -> Result<Self> {
        let key = match std::fs::read_to_string(private) {
            Ok(text) => SigningKey::from_pem(&text, None).map_err(|error| error.context(private.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = SigningKey::generate()?;
                write_private(private, key.to_pem(None)?.as_bytes())?;
                key
            }
            Err(error) => return Err(Error::io(format!("{} cannot be read", private.display()), &error)),
        };
        let own = key.public()?;
        write_private(public, own.to_string().as_bytes())?;
        Ok(Self { key, public: own })
    }

    fn sign(&self, statement: &Statement) -> Result<Vec<u8>> {
        fuseml_marketplace::bundle(&Envelope::sign(statement, &self.key)?, &self.public.id())
    }
}

/// Between two looks for what was made.
const EVERY: Duration = Duration::from_secs(2);
/// After a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// In a row, before a failure no longer keeps the others waiting.
const MOST_TRIES: u32 = 5;
const PORTION: u32 = 100;
/// The name under which the catalog keeps how far this got.
const PROGRESS: &str = "provenance";

/// Attests what runs make. Never ends.
pub(crate) async fn attest_all(app: &App) {
    let mut failures = 0;
    loop {
        let pause = match attest_portion(app, failures >= MOST_TRIES).await {
            Ok(count) => {
                failures = 0;
                if count == PORTION as usize { Duration::ZERO } else { EVERY }
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "provenance could not be written; it is tried again");
                AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// What cannot be attested is left for whoever asks for it, if `leave`.
async fn attest_portion(app: &App, leave: bool) -> Result<usize> {
    let after = app.catalog.progress(PROGRESS).await?;
    let events = app.catalog.since(None, after, PORTION).await?;
    for event in &events {
        if matches!(event.artifact.origin, Origin::Run { .. }) {
            match bundle(app, &event.artifact).await {
                // A result that is gone already needs none.
                Err(error) if error.kind == fuseml_domain::ErrorKind::NotFound || leave => {
                    tracing::warn!(%error, artifact = %event.artifact.address, "no provenance");
                }
                Err(error) => return Err(error.context(event.artifact.address.short())),
                Ok(_) => {}
            }
        }
    }
    if let Some(last) = events.last() {
        app.catalog.set_progress(PROGRESS, last.sequence.cast_unsigned()).await?;
    }
    Ok(events.len())
}

/// The signed bundle about a run's result, made now if there is none yet.
///
/// # Errors
/// `not-found` for what no run made.
pub(crate) async fn bundle(app: &App, artifact: &Descriptor) -> Result<Vec<u8>> {
    match artifact.kind() {
        Kind::Runnable => app.trees.publish_runnable(artifact).await?,
        // What was registered by an older server stands in no registry yet.
        _ if matches!(artifact.origin, Origin::Run { .. }) => contents::keep(&app.trees, artifact).await?,
        _ => {}
    }
    if let Some(there) = app.trees.attached(artifact, BUNDLE).await? {
        return Ok(there);
    }
    let statement = statement(app, artifact).await?;
    let bundle = app.provenance.sign(&statement)?;
    app.trees.attach(artifact, BUNDLE, bundle.clone()).await?;
    Ok(bundle)
}

/// Checks the bundle of a run's result against this server's key and what is registered; answers the statement.
///
/// # Errors
/// `denied` when it is not this server's, or about something else.
pub(crate) async fn verified(app: &App, artifact: &Descriptor) -> Result<Statement> {
    let bundle = bundle(app, artifact).await?;
    let (statement, _) = fuseml_marketplace::envelope(&bundle)?.verify(std::slice::from_ref(&app.provenance.public))?;
    check_subject(&statement, &identity(artifact)?)?;
    Ok(statement)
}

/// Refuses a statement that is no provenance, or about something else.
///
/// # Errors
/// `denied`.
pub fn check_subject(statement: &Statement, digest: &Digest) -> Result<()> {
    let about =
        statement.subject.iter().any(|subject| subject.digest.get("sha256").is_some_and(|hex| hex == digest.hex()));
    match statement.predicate_type == SLSA && about {
        true => Ok(()),
        false => Err(Error::denied("statement", format!("the signed statement is not the provenance of {digest}"))),
    }
}

/// What is known of the artifact by its bytes.
fn identity(artifact: &Descriptor) -> Result<Digest> {
    artifact.digest.clone().map_or_else(|| format!("sha256:{}", artifact.id).parse(), Ok)
}

async fn statement(app: &App, artifact: &Descriptor) -> Result<Statement> {
    let Origin::Run { run: label, step, project } = &artifact.origin else {
        let message = format!("{} was not made by a run, so nobody can say how", artifact.address.short());
        return Err(Error::not_found("no-provenance", message));
    };
    let lineage = app.catalog.lineage(&artifact.address, Some(1)).await?;
    let project = project.as_ref().unwrap_or(artifact.project());
    let run = lineage.runs.iter().find(|run| run.label() == *label && run.project == *project);
    let run = run.ok_or_else(|| {
        Error::not_found("no-provenance", format!("the run {label} that made {} is gone", artifact.address.short()))
    })?;
    let name = artifact.address.to_string();
    let mut statement =
        Statement::new(&name, &identity(artifact)?, SLSA, predicate(app, artifact, run, step, &lineage));
    if let Some(manifest) = app.trees.manifest_of(artifact).await? {
        let repository = Series::of(artifact).repository();
        statement.subject.extend(Statement::new(&repository, &manifest, SLSA, Value::Null).subject);
    }
    Ok(statement)
}

fn predicate(app: &App, artifact: &Descriptor, run: &Run, step: &Name, lineage: &Lineage) -> Value {
    let used = lineage
        .edges
        .iter()
        .filter(|edge| edge.run == run.id.to_string() && edge.step == **step && edge.role == "used");
    let inputs: serde_json::Map<String, Value> =
        used.clone().map(|edge| (edge.slot.clone(), edge.artifact.clone().into())).collect();
    let mut dependencies: Vec<Value> = used.filter_map(|edge| dependency(&edge.slot, &edge.artifact)).collect();
    dependencies
        .extend(lineage.calls.iter().filter(|calls| calls.artifact == artifact.address.to_string()).map(component));
    let done = run.step(step);
    let moment = |at: Option<jiff::Timestamp>| at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "project": run.project.to_string(),
                "pipeline": run.pipeline.to_string(),
                "template": run.template.name.to_string(),
                "step": step.to_string(),
                "inputs": inputs,
                "parameters": run.parameters.get(step).cloned().unwrap_or_default(),
            },
            "internalParameters": {"cause": run.cause.reason},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {
                "id": format!("fuseml:{}", app.provenance.public.id()),
                "version": {"fuseml": env!("CARGO_PKG_VERSION")},
            },
            "metadata": {
                "invocationId": format!("{}/{}", run.id, step),
                "startedOn": moment(done.and_then(|step| step.started)),
                "finishedOn": moment(done.and_then(|step| step.ended).or(Some(artifact.created))),
            },
        },
    })
}

/// A used artifact, by what identifies its bytes.
fn dependency(slot: &str, address: &str) -> Option<Value> {
    let parsed: Address = address.parse().ok()?;
    let id = parsed.version.as_ref().unwrap_or(&parsed.name).to_string();
    let algorithm = if parsed.kind == Kind::Codeset { "gitCommit" } else { "sha256" };
    Some(json!({"name": slot, "uri": address, "digest": {algorithm: id}}))
}

fn component(calls: &LineageCalls) -> Value {
    let hex = calls.digest.trim_start_matches("sha256:");
    json!({
        "name": format!("component {}", calls.component),
        "uri": format!("extension:{}@{}#{}", calls.extension, calls.version, calls.component),
        "digest": {"sha256": hex},
    })
}
