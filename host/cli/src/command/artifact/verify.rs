//! `fuseml artifact verify` and `provenance`: that contents are what they were, and who says how they came to be.

use super::find;
use crate::{Options, client::Client, output::Rows};
use anyhow::Context as _;
use clap::Args;
use fuseml_domain::{Error, Tree};
use fuseml_marketplace::{PublicKey, Statement};
use fuseml_server::{ProvenanceView, SLSA, VerificationView, check_subject};
use reqwest::Method;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The artifact; with --provenance the folder, and no server is asked
    artifact: String,
    /// Compare this folder with what was registered, instead of what is stored
    folder: Option<PathBuf>,
    /// What `artifact provenance` saved
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "folder")]
    provenance: Option<PathBuf>,
    /// The public key of the server that signed it: provenance-key.pub in its data folder
    #[arg(long, value_name = "FILE", requires = "provenance")]
    key: Option<PathBuf>,
}

pub(crate) async fn verify(arguments: VerifyArguments, options: &Options) -> anyhow::Result<ExitCode> {
    if let (Some(provenance), Some(key)) = (&arguments.provenance, &arguments.key) {
        return verify_alone(Path::new(&arguments.artifact), provenance, key, options);
    }
    let client = Client::new(options)?;
    let artifact = find(&client, options, &arguments.artifact).await?;
    let address = [("address", artifact.address.to_string())];
    let (view, what) = match arguments.folder {
        None => {
            let request = client.request(Method::POST, "/api/v1/artifact/verify").query(&address);
            (client.read::<VerificationView>(request).await?, "What is stored".to_owned())
        }
        Some(folder) => {
            let tree: Tree = client.get("/api/v1/artifact/tree", &address).await?;
            if artifact.digest.as_ref() != Some(&tree.digest()) {
                let message = "the server's list of files is not the one that was registered";
                return Err(Error::internal("digest-mismatch", message).into());
            }
            let faults = tree.differences(&fuseml_contents::list(&folder, |_| None)?.tree);
            let artifact = artifact.address.clone();
            let view = VerificationView { artifact, whole: faults.is_empty(), faults, provenance: None };
            (view, folder.display().to_string())
        }
    };
    let short = artifact.address.short();
    match view.whole {
        true => eprintln!("{what} is {short} as it was registered."),
        false => eprintln!("{what} is not {short} as it was registered:"),
    }
    if let Some(ProvenanceView { run, step, key }) = &view.provenance {
        eprintln!("Its provenance is signed by {}: {run} made it in step {step}.", key.get(..16).unwrap_or(key));
    }
    options.output.print(&view, |view| view.faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())?;
    Ok(if view.whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Of a folder, a bundle and a key alone.
fn verify_alone(folder: &Path, provenance: &Path, key: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let key: PublicKey = read(key)?.parse()?;
    let statement = opened(read(provenance)?.as_bytes(), &key)?;
    let tree = fuseml_contents::list(folder, |_| None)?.tree;
    check_subject(&statement, &tree.digest()).map_err(|error| error.context(folder.display()))?;
    let name = statement.subject.first().map_or("", |subject| subject.name.as_str());
    eprintln!("{} is {name}, and its provenance is signed by {}.", folder.display(), key.id().short());
    options.output.print(&statement, rows)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn opened(bundle: &[u8], key: &PublicKey) -> fuseml_domain::Result<Statement> {
    let (statement, _) = fuseml_marketplace::envelope(bundle)?.verify(std::slice::from_ref(key))?;
    match statement.predicate_type.as_str() {
        SLSA => Ok(statement),
        other => Err(Error::denied("statement", format!("the signed statement is {other}, no provenance"))),
    }
}

#[derive(Args)]
pub(crate) struct ProvenanceArguments {
    address: String,
    /// Save the signed bundle, for `artifact verify` without a server and for other tools
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(crate) async fn provenance(arguments: ProvenanceArguments, options: &Options) -> anyhow::Result<ExitCode> {
    let client = Client::new(options)?;
    let artifact = find(&client, options, &arguments.address).await?;
    let request = client.request(Method::GET, "/api/v1/artifact/provenance");
    let bundle = client.call(request.query(&[("address", artifact.address.to_string())])).await?;
    let key = client.call(client.request(Method::GET, "/api/v1/provenance-key")).await?;
    let key: PublicKey = String::from_utf8_lossy(&key).parse()?;
    let statement = opened(&bundle, &key)?;
    eprintln!("Signed by {}.", key.id().short());
    if let Some(file) = &arguments.save {
        std::fs::write(file, &bundle).with_context(|| format!("{} cannot be written", file.display()))?;
        eprintln!("Saved to {}.", file.display());
    }
    options.output.print(&statement, rows)?;
    Ok(ExitCode::SUCCESS)
}

fn rows(statement: &Statement) -> Rows {
    let mut rows = Rows::new(&["What", "Value", "Digest"]);
    let text = |path: &str| statement.predicate.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    for subject in &statement.subject {
        rows.push(["artifact".to_owned(), subject.name.clone(), digest(&serde_json::json!(subject.digest))]);
    }
    for (what, path) in [
        ("project", "/buildDefinition/externalParameters/project"),
        ("pipeline", "/buildDefinition/externalParameters/pipeline"),
        ("step", "/buildDefinition/externalParameters/step"),
        ("because", "/buildDefinition/internalParameters/cause"),
        ("begun", "/runDetails/metadata/startedOn"),
        ("done", "/runDetails/metadata/finishedOn"),
        ("by", "/runDetails/builder/id"),
    ] {
        let shown = match text(path) {
            at if matches!(what, "begun" | "done") => at.replace('T', " ").replace('Z', ""),
            text => text,
        };
        rows.push([what.to_owned(), shown, String::new()]);
    }
    let parameters = statement.predicate.pointer("/buildDefinition/externalParameters/parameters");
    for (name, value) in parameters.and_then(Value::as_object).into_iter().flatten() {
        rows.push([format!("parameter {name}"), value.as_str().unwrap_or_default().to_owned(), String::new()]);
    }
    let used = statement.predicate.pointer("/buildDefinition/resolvedDependencies").and_then(Value::as_array);
    for one in used.into_iter().flatten() {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        rows.push([format!("used {}", text("name")), text("uri"), digest(&one["digest"])]);
    }
    rows
}

fn digest(digests: &Value) -> String {
    let shown = |(name, value): (&String, &Value)| {
        format!("{name}:{}", value.as_str().unwrap_or_default().chars().take(12).collect::<String>())
    };
    digests.as_object().into_iter().flatten().map(shown).collect::<Vec<_>>().join(" ")
}
