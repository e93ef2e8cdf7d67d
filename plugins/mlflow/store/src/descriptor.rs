//! A model version and what its logged model says, as one descriptor.

use crate::api::{LoggedModel, Server, Version};
use fuseml_extension::{Attributes, Descriptor, Error, ErrorKind, Result};
use serde_json::Value;

/// Tags that this component keeps for itself; everything else is a label.
pub(crate) const OWN: &str = "fuseml.";
pub(crate) const KEY: &str = "fuseml.key";
pub(crate) const DIGEST: &str = "fuseml.digest";
pub(crate) const ATTRIBUTE: &str = "fuseml.attribute.";
pub(crate) const PARAMETER: &str = "parameter.";
pub(crate) const RUN: &str = "mlflow-run";
const MODEL: &str = "mlflow-model-id";
const FORMAT: &str = "format";

/// The descriptor of a version that `get` answered, so that its aliases are known.
pub(crate) fn of_version(server: &Server, version: Version) -> Result<Descriptor> {
    let model = match version.model_id().map(|id| server.logged_model(id)) {
        None => None,
        Some(Ok(model)) => Some(model),
        // The run was deleted; the registry's own record is what is left.
        Some(Err(Error { kind: ErrorKind::NotFound, .. })) => None,
        Some(Err(error)) => return Err(error),
    };
    Ok(Descriptor {
        id: version.id().to_string(),
        kind: "model".to_owned(),
        digest: version.tag(DIGEST).map(str::to_owned),
        created: version.creation_timestamp,
        attributes: attributes(&version, model.as_ref()),
        metrics: model.as_ref().map(metrics).unwrap_or_default(),
        labels: labels(&version),
        parents: Vec::new(),
        name: version.name,
        version: version.version,
        tags: version.aliases,
    })
}

/// Attributes that the tool itself answers for and that no tag may claim.
pub(crate) fn is_derived(name: &str) -> bool {
    [FORMAT, RUN, MODEL].contains(&name) || name.starts_with(PARAMETER)
}

fn attributes(version: &Version, model: Option<&LoggedModel>) -> Attributes {
    let mut attributes = vec![(FORMAT.to_owned(), "mlflow".to_owned())];
    let run = model.map_or("", |model| model.info.source_run_id.as_str());
    let run = if run.is_empty() { version.run_id.as_str() } else { run };
    if !run.is_empty() {
        attributes.push((RUN.to_owned(), run.to_owned()));
    }
    attributes.extend(version.model_id().map(|id| (MODEL.to_owned(), id.to_owned())));
    let own = version.tags.iter().filter_map(|tag| Some((tag.key.strip_prefix(ATTRIBUTE)?, &tag.value)));
    attributes.extend(own.filter(|(name, _)| !is_derived(name)).map(|(name, value)| (name.to_owned(), value.clone())));
    let params = model.into_iter().flat_map(|model| &model.data.params);
    attributes.extend(params.map(|param| (format!("{PARAMETER}{}", param.key), param.value.clone())));
    attributes
}

/// The last value of each metric; what is no finite number is no metric.
fn metrics(model: &LoggedModel) -> Vec<(String, f64)> {
    let mut metrics: Vec<(String, f64)> = Vec::new();
    for metric in &model.data.metrics {
        let Some(value) = number(&metric.value) else { continue };
        metrics.retain(|(name, _)| *name != metric.key);
        metrics.push((metric.key.clone(), value));
    }
    metrics
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|value| value.is_finite())
}

/// Tags of the version that are neither ours nor MLflow's own.
pub(crate) fn labels(version: &Version) -> Attributes {
    let theirs = version.tags.iter().filter(|tag| !tag.key.starts_with(OWN) && !tag.key.starts_with("mlflow."));
    theirs.map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// Refuses labels that would be read back as something else.
pub(crate) fn check_labels(labels: &Attributes) -> Result<()> {
    match labels.iter().find(|(name, _)| name.starts_with(OWN) || name.starts_with("mlflow.")) {
        Some((name, _)) => Err(Error::invalid(
            "reserved-label",
            format!("the label `{name}` is reserved; labels here may not start with `{OWN}` or `mlflow.`"),
        )),
        None => Ok(()),
    }
}
